"""Reads the file of a table, and those of its entries; what has another form than it should is refused.

But for settings all of it is text, taken as it is written: YAML would make 8 of `010`, 90 of `1:30` and True of `yes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from app.cli.words import as_words
from app.config.settings import read_yaml
from app.errors import UserError

TABLE_KEYS = {"title", "seeds", "entries", "tables", "compare", "choose", "figure"}
ENTRY_KEYS = {"cells", "column", "variant", "overrides", "seeds", "study"}
VALUES = {"overrides", "study"}
"""Keys of an entry below which YAML says what is a number."""
FIGURES = ("headline", "in_degree", "aggregation", "curves")


class AsWritten(yaml.SafeLoader):
    """Reads YAML with all that is not quoted as text, too."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<$"))]}  # noqa: RUF012 (as in PyYAML)


@dataclass(frozen=True)
class Entry:
    """An entry of a table.

    Attributes:
        cells: patterns of cells.
        column: the name of its column; None: it names none.
        variant: the word for the folder of its runs; None: they are those of the plain cells.
        overrides: settings on top of the cells', as words of the command line.
        seeds: texts such as `0-9`, by data set; under None: those of all others.
    """

    cells: tuple[str, ...]
    column: str | None
    variant: str | None
    overrides: tuple[str, ...]
    seeds: Mapping[str | None, str]


@dataclass(frozen=True)
class TableFile:
    """What stands in the file of a table.

    Attributes:
        tables: names of tables that it is put together from, or their files.
        compare, choose, figure: as those of `Grid`.
    """

    title: str
    entries: tuple[Entry, ...]
    tables: tuple[str, ...]
    compare: tuple[tuple[str, str], ...]
    choose: Mapping[str, tuple[str, ...]]
    figure: str | None


@contextmanager
def told_with(place: str) -> Iterator[None]:
    """Says in front of what is refused in the block where it stands."""
    try:
        yield
    except UserError as problem:
        raise UserError(f"{place}: {problem}") from None


def read_table(path: Path) -> TableFile:
    """Reads the file of a table.

    Raises:
        UserError: if it cannot be read, or something in it has another form.
    """
    content, written = read_yaml(path, str(path)), read_yaml(path, str(path), AsWritten)
    with told_with(str(path)):
        _check_keys(written, TABLE_KEYS)
        given = {key: written[key] for key, value in content.items() if value is not None}
        title, figure = given.get("title", path.stem), given.get("figure")
        if not isinstance(title, str):
            raise UserError(f"title: expected a text, got {title!r}")
        if figure not in (None, *FIGURES):
            raise UserError(f"figure: expected one of {', '.join(FIGURES)}, got {figure!r}")
        tables = _tables(given.get("tables", []))
        compare, choose = _pairs(given.get("compare", [])), _choices(given.get("choose", {}))
        items = [] if content.get("entries") is None else content["entries"]
        if not isinstance(items, list):
            raise UserError(f"entries: expected a list; write a dash before each entry, such as `- {_short(items)}`")
        if not items and not tables:
            raise UserError("no entries here; give some, such as `entries: [{cells: cora/gcn/dq_int8}]`")
    common = written.get("seeds", "0")
    entries = []
    for number, item in enumerate(items, 1):
        with told_with(f"{path}: entry {number}"):
            entries.append(_entry(path.parent, item, written["entries"][number - 1], common))
    return TableFile(title, tuple(entries), tables, compare, choose, figure)


def _short(items: Any) -> str:
    return f"cells: {items['cells']}" if isinstance(items, dict) and "cells" in items else "cells: cora/gcn/dq_int8"


def _check_keys(content: Mapping[str, Any], known: set[str]) -> None:
    for key in content.keys() - known:
        raise UserError(f"no key {key!r} here; there are {', '.join(sorted(known))}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _tables(names: Any) -> tuple[str, ...]:
    if not _are_texts(names):
        raise UserError(f"tables: expected a list of tables, such as [table2, mine.yaml], got {names!r}")
    return tuple(names)


def _pairs(pairs: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(pairs, list) or not all(_are_texts(pair) and len(pair) == 2 for pair in pairs):
        raise UserError("compare: expected a list of pairs of columns, such as [[dq_int4, qat_int4]]")
    return tuple((one, other) for one, other in pairs)


def _choices(choices: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(choices, dict) or not all(_are_texts(columns) and columns for columns in choices.values()):
        raise UserError("choose: expected lists of columns by name, such as {best: [dq_int4, qat_int4]}")
    return {str(name): tuple(columns) for name, columns in choices.items()}


def _entry(folder: Path, item: Any, written: Any, common_seeds: Any) -> Entry:
    """Returns an entry of a table in a folder; where it names a file (`from`), that of the file with its keys on top.

    Args:
        item, written: the entry as YAML means it, and as it is written.
        common_seeds: of the table, as written.
    """
    if isinstance(item, str):
        item = written = {"from": item}
    if not isinstance(item, dict):
        raise UserError(f"expected `cells: DATASET/ARCHITECTURE/SCHEME` or the name of a file, got {written!r}")
    if "from" in item:
        item, written = _with_file(folder, item, written)
    if not item.get("cells"):
        raise UserError(f"an entry needs `cells: DATASET/ARCHITECTURE/SCHEME`, got {written!r}")
    _check_keys(written, ENTRY_KEYS)
    variant, words = _variant(item, written), _overrides(item)
    if bool(words) != bool(variant):
        raise UserError("overrides need a `variant` (a word for the folder of the runs), and it them")
    column = written.get("column")
    if "column" in item and (item["column"] is None or not isinstance(column, str) or not column):
        raise UserError(f"column: expected the name of a column, got {column!r}")
    return Entry(_cells(written["cells"]), column, variant, words, _seeds(written.get("seeds", common_seeds)))


def _with_file(folder: Path, item: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns an entry that names a file as one: what is in the file, with the keys beside the name on top."""
    file = written["from"]
    if not isinstance(file, str):
        raise UserError(f"from: expected the name of a file, got {file!r}")
    content, text = read_yaml(folder / file, file), read_yaml(folder / file, file, AsWritten)
    beside = written.keys() - {"from"}
    return content | {key: item[key] for key in item if key in beside}, text | {key: written[key] for key in beside}


def _cells(cells: Any) -> tuple[str, ...]:
    patterns = [cells] if isinstance(cells, str) else cells
    if not _are_texts(patterns):
        raise UserError(f"cells: expected DATASET/ARCHITECTURE/SCHEME or a list of such, got {cells!r}")
    return tuple(patterns)


def _variant(item: Mapping[str, Any], written: Mapping[str, Any]) -> str | None:
    if item.get("variant") is None:
        return None
    variant = written["variant"]
    if not isinstance(variant, str) or not re.fullmatch(r"[\w.-]+", variant) or not variant.strip("."):
        raise UserError(f"variant {variant!r}: expected letters, digits, and . _ - (not dots alone)")
    return variant


def _overrides(item: Mapping[str, Any]) -> tuple[str, ...]:
    overrides = item.get("overrides")
    if overrides is None:
        return ()
    if not isinstance(overrides, dict) or not all(isinstance(key, str) for key in overrides):
        raise UserError(f"overrides: expected settings, such as {{model.lr: 0.02}}, got {overrides!r}")
    if "seed_everything" in overrides:
        raise UserError("overrides: seed_everything has no effect, as each run has its own seed; give `seeds:`")
    try:
        return as_words(overrides)
    except (TypeError, ValueError):
        raise UserError("overrides: a value is no text, number, list or mapping; put a date in quotes") from None


def _seeds(seeds: Any) -> dict[str | None, str]:
    """Returns the texts of seeds by data set; seeds of all data sets under None."""
    return {name: _seeds_text(each) for name, each in seeds.items()} if isinstance(seeds, dict) else {
        None: _seeds_text(seeds)
    }  # fmt: skip


def _seeds_text(seeds: Any) -> str:
    if _are_texts(seeds) and seeds:
        return ",".join(seeds)
    if not isinstance(seeds, str):
        raise UserError(f"seeds: expected a whole number, a list (0,4,7) or a range (0-9), got {seeds!r}")
    return seeds
