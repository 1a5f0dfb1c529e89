"""Grids: the runs that fill a table, read from a YAML file under configs/tables. Imports nothing heavy.

All runs of a folder have the same settings. So an entry with overrides has a `variant`, and its runs lie in
`<dataset>/<architecture>/<scheme>+<variant>`; runs without a variant are those of the plain cell, which `fit` and other
grids share. A column named after a scheme holds plain cells: an entry with a variant goes to the column
`<scheme>+<variant>`, unless it names another (`column`, in which `{scheme}` stands for the name of the scheme).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from app.config.cells import KINDS, TABLES, Cell, available, files_of, parse_seeds, select
from app.config.chosen_classes import own_network
from app.config.tables.forms import Entry, read_table, told_with
from app.config.tables.starts import check_starts
from app.errors import UserError


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
        figure: what is drawn beside the table, one of `forms.FIGURES`, or nothing; of a headline, the table too.
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
    return _load(_file_of(word), ())


def _file_of(word: str) -> Path:
    path = Path(word) if word.endswith((".yaml", ".yml")) else files_of(TABLES).get(word)
    if path is None or not path.is_file():
        names = available(TABLES)
        close = get_close_matches(word, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}, or name a YAML file"
        raise UserError(f"no table {word!r}; {hint}")
    return path


def _load(path: Path, above: tuple[Path, ...]) -> Grid:
    """Reads the grid in a file, of which the grids in the files `above` are put together."""
    file = read_table(path)
    parts = [_part(path, word, (*above, path.resolve())) for word in file.tables]
    placed = [(f"table {part.name}", slot) for part in parts for slot in part.slots]
    for number, entry in enumerate(file.entries, 1):
        with told_with(f"{path}: entry {number}"):
            placed += [(f"entry {number}", slot) for slot in _slots(entry)]
    with told_with(str(path)):
        slots = _one_a_place(placed)
        _check_columns(slots, [*file.compare, *file.choose.values()])
        check_starts({slot.name: slot.overrides for slot in slots})
    choices = dict(file.choose)
    for part in parts:
        choices |= {name: (*choices.get(name, ()), *columns) for name, columns in part.choose.items()}
    return Grid(path.stem, file.title, slots, file.compare, choices, file.figure)


def _part(path: Path, word: str, above: tuple[Path, ...]) -> Grid:
    """Reads a grid that the grid in the file `path` names; a YAML file lies beside it."""
    with told_with(f"{path}: tables"):
        part = _file_of(str(path.parent / word) if word.endswith((".yaml", ".yml")) else word)
        if part.resolve() in above:
            raise UserError(f"{word} is this table itself, or one that this table is part of; leave it out")
    return _load(part, above)


def _slots(entry: Entry) -> list[Slot]:
    """Returns the slots of an entry: one for every cell that it names."""
    suffix, network = f"+{entry.variant}" if entry.variant else "", own_network(entry.overrides)
    column = f"{{scheme}}{suffix}" if entry.column is None else entry.column
    return [
        Slot(
            f"{cell.dataset}/{network or cell.architecture}", column.replace("{scheme}", cell.scheme), cell,
            f"{cell}{suffix}", entry.overrides, _seeds_of(cell, entry.seeds),
        )
        for pattern in entry.cells for cell in _select(pattern)
    ]  # fmt: skip


def _select(pattern: str) -> list[Cell]:
    try:
        return select(pattern)
    except UserError as problem:  # which calls it an option of the command line
        raise UserError(f"cells: {str(problem).removeprefix('--cell ')}") from None


def _one_a_place(placed: Iterable[tuple[str, Slot]]) -> tuple[Slot, ...]:
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
                f"{_both(first, origin)} have different settings for the runs of {slot.name}: "
                "give one of them another `variant`"
            )
        first, other = places.setdefault((slot.row, slot.column), (origin, slot))
        if other.name != slot.name:
            runs = f"{other.name.rpartition('/')[2]} and {slot.name.rpartition('/')[2]}"
            raise UserError(
                f"{_both(first, origin)} fill row {slot.row}, column {slot.column} with different runs "
                f"({runs}): give one of them another `column`"
            )
        seeds = tuple(dict.fromkeys((*other.seeds, *slot.seeds)))
        places[slot.row, slot.column] = first, replace(other, seeds=seeds)
    return tuple(slot for _, slot in places.values())


def _both(first: str, second: str) -> str:
    return f"{first} and {second}" if first != second else f"two cells of {first}"


def _seeds_of(cell: Cell, seeds: Mapping[str | None, str]) -> tuple[int, ...]:
    """Returns the seeds of a cell, from texts by data set; those under None are of all data sets."""
    text = seeds.get(cell.dataset, seeds.get(None))
    if text is None:
        raise UserError(f"seeds: none for {cell.dataset}")
    return tuple(parse_seeds(text, "seeds:"))


def _check_columns(slots: Iterable[Slot], named: Iterable[tuple[str, ...]]) -> None:
    columns = list(dict.fromkeys(slot.column for slot in slots))
    for column in {column for columns in named for column in columns}.difference(columns):
        raise UserError(f"no column {column!r} here to compare or to choose; there are {', '.join(columns)}")


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
    if first > len(runs) > 0:
        print(f"--shard {options.shard}: has no runs, the grid has only {len(runs)}", file=sys.stderr)
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
