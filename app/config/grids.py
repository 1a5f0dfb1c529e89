"""Grids: the runs that fill a table, read from a YAML file under configs/tables. Imports nothing heavy.

All runs of a folder have the same settings. So an entry with overrides has a `variant`, and its runs lie in
`<dataset>/<architecture>/<scheme>+<variant>`; runs without a variant are those of the plain cell, which `fit` and other
grids share. A column named after a scheme holds plain cells: an entry with a variant goes to the column
`<scheme>+<variant>`, unless it names another (`column`, in which `{scheme}` stands for the name of the scheme).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from app.cli.words import as_words
from app.config.cells import KINDS, TABLES, Cell, available, files_of, parse_seeds, select
from app.config.chosen_classes import own_network
from app.config.settings import read_yaml
from app.errors import UserError

GRID_KEYS = {"title", "seeds", "entries", "tables", "compare", "choose", "figure"}
ENTRY_KEYS = {"cells", "column", "variant", "overrides", "seeds", "study"}
FIGURES = ("headline", "in_degree", "aggregation", "curves")


@dataclass(frozen=True)
class Slot:
    """One entry of a table, and the runs that fill it.

    Attributes:
        row, column: its position; the row is `dataset/architecture`, or `dataset/Name` of a network of one's own.
        cell: what is trained.
        name: of the folder of its runs, `dataset/architecture/scheme` with `+variant` where there is one.
        overrides: settings on top of the cell's, as on the command line.
        seeds: of its runs; on data sets with folds, seeds 0 to 9 are the folds.
    """

    row: str
    column: str
    cell: Cell
    name: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """A table of the paper or of your own.

    Attributes:
        slots: one for every row and column that is filled.
        compare: pairs of columns to compare by tests paired over seeds.
        choose: names of choices, each with the columns among which validation decides, row by row.
        figure: what is drawn beside the table, one of `FIGURES`, or nothing; of a headline, the table too.
    """

    name: str
    title: str
    slots: tuple[Slot, ...]
    compare: tuple[tuple[str, str], ...]
    choose: Mapping[str, tuple[str, ...]]
    figure: str | None


def load_grid(word: str) -> Grid:
    """Reads the grid of that name, or in that YAML file.

    Raises:
        UserError: if there is none, or the file is not a grid.
    """
    path = Path(word) if word.endswith((".yaml", ".yml")) else files_of(TABLES).get(word)
    if path is None or not path.is_file():
        names = available(TABLES)
        close = get_close_matches(word, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}, or name a YAML file"
        raise UserError(f"no table {word!r}; {hint}")
    content = read_yaml(path, str(path))
    _check_keys(path, content, GRID_KEYS)
    parts = [_table(path, str(name)) for name in content.get("tables") or []]
    placed = [(f"table {part.name}", slot) for part in parts for slot in part.slots]
    for number, item in enumerate(content.get("entries") or [], 1):
        of_entry = _slots(path, _entry(path, item), content.get("seeds", 0))
        placed += [(f"entry {number}", slot) for slot in of_entry]
    slots = _one_a_place(path, placed)
    figure = content.get("figure")
    if figure not in (None, *FIGURES):
        raise UserError(f"{path}: figure: expected one of {', '.join(FIGURES)}, got {figure!r}")
    pairs, choices = content.get("compare") or [], content.get("choose") or {}
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise UserError(f"{path}: compare: expected a list of pairs of columns, such as [[dq_int4, qat_int4]]")
    if not isinstance(choices, dict) or not all(isinstance(columns, list) for columns in choices.values()):
        raise UserError(f"{path}: choose: expected lists of columns by name, such as {{best: [dq_int4, qat_int4]}}")
    pairs = tuple((str(a), str(b)) for a, b in pairs)
    choices = {str(name): tuple(map(str, columns)) for name, columns in choices.items()}
    _check_columns(path, slots, [*pairs, *choices.values()])
    for part in parts:
        choices |= {name: (*choices.get(name, ()), *columns) for name, columns in part.choose.items()}
    return Grid(path.stem, str(content.get("title", path.stem)), slots, pairs, choices, figure)


def _table(path: Path, word: str) -> Grid:
    """Reads a grid that the grid in the file `path` names; a YAML file lies beside it."""
    return load_grid(str(path.parent / word) if word.endswith((".yaml", ".yml")) else word)


def _entry(path: Path, item: Any) -> Any:
    """Returns an entry; where it names a file (`from`), the entry in that file with the keys beside the name on top."""
    entry = {"from": item} if isinstance(item, str) else item
    if not isinstance(entry, dict) or "from" not in entry:
        return entry
    file = str(entry["from"])
    return read_yaml(path.parent / file, f"{path}: {file}") | {k: v for k, v in entry.items() if k != "from"}


def _slots(path: Path, entry: Any, common_seeds: Any) -> list[Slot]:
    """Returns the slots of an entry: one for every cell that it names."""
    if not isinstance(entry, dict) or not entry.get("cells"):
        raise UserError(f"{path}: an entry needs `cells: DATASET/ARCHITECTURE/SCHEME`, got {entry!r}")
    _check_keys(path, entry, ENTRY_KEYS)
    overrides, variant = entry.get("overrides") or {}, entry.get("variant")
    if bool(overrides) != bool(variant):
        raise UserError(
            f"{path}: {entry['cells']}: overrides need a `variant` (a word for the folder of the runs), and it them"
        )
    if variant and not re.fullmatch(r"[\w.-]+", str(variant)):
        raise UserError(f"{path}: variant {variant!r}: expected letters, digits, and . _ -")
    patterns = [entry["cells"]] if isinstance(entry["cells"], str) else entry["cells"]
    seeds = entry.get("seeds", common_seeds)
    suffix, words = f"+{variant}" if variant else "", as_words(overrides)
    column, network = str(entry.get("column", f"{{scheme}}{suffix}")), own_network(words)
    return [
        Slot(
            f"{cell.dataset}/{network or cell.architecture}", column.replace("{scheme}", cell.scheme), cell,
            f"{cell}{suffix}", words, _seeds_of(path, cell, seeds),
        )
        for pattern in patterns for cell in select(pattern)
    ]  # fmt: skip


def _one_a_place(path: Path, placed: Iterable[tuple[str, Slot]]) -> tuple[Slot, ...]:
    """Returns one slot for every row and column; where the same runs stand there twice, with the seeds of both.

    Args:
        placed: slots, each with the words that say where it comes from, such as `entry 3`.

    Raises:
        UserError: if two fill one place with different runs, or give one folder of runs different settings.
    """
    places: dict[tuple[str, str], tuple[str, Slot]] = {}
    folders: dict[str, tuple[str, Slot]] = {}
    for origin, slot in placed:
        first, other = folders.setdefault(slot.name, (origin, slot))
        if sorted(other.overrides) != sorted(slot.overrides):
            raise UserError(
                f"{path}: {_both(first, origin)} have different settings for the runs of {slot.name}: "
                "give one of them another `variant`"
            )
        first, other = places.setdefault((slot.row, slot.column), (origin, slot))
        if other.name != slot.name:
            runs = f"{other.name.rpartition('/')[2]} and {slot.name.rpartition('/')[2]}"
            raise UserError(
                f"{path}: {_both(first, origin)} fill row {slot.row}, column {slot.column} with different runs "
                f"({runs}): give one of them another `column`"
            )
        seeds = tuple(dict.fromkeys((*other.seeds, *slot.seeds)))
        places[slot.row, slot.column] = first, replace(other, seeds=seeds)
    return tuple(slot for _, slot in places.values())


def _both(first: str, second: str) -> str:
    return f"{first} and {second}" if first != second else f"two cells of {first}"


def _seeds_of(path: Path, cell: Cell, seeds: Any) -> tuple[int, ...]:
    """Returns the seeds of a cell, from a text such as `0-9` or from a mapping of data sets to such texts."""
    if isinstance(seeds, dict):
        if cell.dataset not in seeds:
            raise UserError(f"{path}: seeds: none for {cell.dataset}")
        seeds = seeds[cell.dataset]
    return tuple(parse_seeds(str(seeds), f"{path}: seeds:"))


def _check_keys(path: Path, content: Mapping[str, Any], known: set[str]) -> None:
    for key in content.keys() - known:
        raise UserError(f"{path}: no key {key!r} here; there are {', '.join(sorted(known))}")


def _check_columns(path: Path, slots: Iterable[Slot], named: Iterable[tuple[str, ...]]) -> None:
    columns = list(dict.fromkeys(slot.column for slot in slots))
    for column in {column for columns in named for column in columns}.difference(columns):
        raise UserError(f"{path}: no column {column!r} here to compare or to choose; there are {', '.join(columns)}")


def chosen_slots(grid: Grid, options: argparse.Namespace) -> list[Slot]:
    """Returns the slots that --datasets, --architectures and --schemes leave, with the seeds of --seeds if given.

    Raises:
        UserError: if nothing is left, or a word of a list is of nothing: a typing mistake would narrow the grid unseen.
    """
    kept = list(grid.slots)
    for kind in KINDS:
        option = f"{kind}s"
        if patterns := getattr(options, option):
            words = patterns.split(",")
            kept = [slot for slot in kept if any(_matches(slot, kind, word) for word in words)]
            idle = [word for word in words if not any(_matches(slot, kind, word) for slot in grid.slots)]
            if idle or not kept:
                there = sorted({getattr(slot.cell, kind) for slot in grid.slots})
                left = f"{idle[0]}: nothing of {grid.name} is called so" if kept else f"nothing of {grid.name} is left"
                raise UserError(f"--{option} {patterns}: {left}; it has {', '.join(there)}")
    if options.seeds is None:
        return kept
    seeds = tuple(parse_seeds(options.seeds, "--seeds"))
    return [replace(slot, seeds=seeds) for slot in kept]


def with_seeds(grid: Grid, options: argparse.Namespace) -> Grid:
    """Returns a grid with the seeds of --seeds beside its own."""
    more = parse_seeds(options.seeds, "--seeds") if options.seeds else []
    slots = (replace(slot, seeds=tuple(dict.fromkeys((*slot.seeds, *more)))) for slot in grid.slots)
    return replace(grid, slots=tuple(slots))


def plan_runs(grid: Grid, options: argparse.Namespace) -> list[tuple[Slot, int]]:
    """Returns the runs of a grid, or the part of them that is in this shard.

    They are ordered by seed, so that an interrupted command has done a part of every cell.
    """
    slots = chosen_slots(grid, options) if grid.figure != "in_degree" else []  # that one needs data alone
    runs = {
        (slot.name, seed): (slot, seed)
        for seed in sorted({seed for slot in slots for seed in slot.seeds})
        for slot in slots
        if seed in slot.seeds
    }
    first, step = parse_shard(options.shard)
    return list(runs.values())[first - 1 :: step]


def _matches(slot: Slot, kind: str, pattern: str) -> bool:
    names = {getattr(slot.cell, kind)} | ({slot.name.rpartition("/")[2]} if kind == "scheme" else set())
    return any(fnmatchcase(name, pattern) for name in names)


def parse_shard(text: str) -> tuple[int, int]:
    """Returns (i, n) of `i/n`, where 1 <= i <= n.

    Raises:
        UserError: on anything else.
    """
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UserError(f"--shard {text!r}: expected I/N with 1 <= I <= N, such as 2/3")
    return int(first), int(last)


def check_options(options: argparse.Namespace, rest: list[str]) -> int:
    """Raises UserError if the grid or a filter is wrong; returns 0. Imports nothing heavy."""
    chosen_slots(load_grid(options.name), options)
    parse_shard(options.shard)
    return 0
