"""Cells: combinations of a dataset, an architecture and a scheme, each a file under configs/. Imports nothing heavy.

Folders of one's own (`--config-dir`) with the same sub-folders stand beside configs/; a name is in one of them only.

Datasets and architectures lie in folders called families. A family is some datasets and the networks made for them
(their depths, widths and readouts), so a dataset goes only with the architectures of its own family.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from app.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LARGEST_SEED = 2**32 - 1  # what NumPy accepts
BASE = CONFIGS / "base.yaml"
KINDS = ("dataset", "architecture", "scheme")
TABLES = "tables"
FORMS = {
    "dataset": "dataset/{family}/{name}.yaml",
    "architecture": "architecture/{family}/{name}.yaml",
    "scheme": "scheme/{name}.yaml",
    TABLES: "tables/{name}.yaml",
}
"""Where the files of each kind lie. What tables read besides may lie anywhere below theirs."""
FOLDERS = "DEGREE_QUANT_CONFIGS"
"""The environment variable with folders of one's own, which processes that this one starts read too."""


@dataclass(frozen=True)
class Cell:
    """A combination of one dataset, one architecture and one scheme."""

    dataset: str
    architecture: str
    scheme: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.architecture}/{self.scheme}"

    @property
    def config_files(self) -> list[Path]:
        """The config files, from general to particular; later ones override earlier ones."""
        dataset = files_of("dataset")[self.dataset]
        architecture = files_of("architecture", dataset.parent.name)[self.architecture]
        return [BASE, dataset, architecture, files_of("scheme")[self.scheme]]


def add_config_dirs(options: argparse.Namespace, rest: list[str]) -> int:
    """Adds the folders of --config-dir beside configs/; returns 0.

    Raises:
        UserError: if one is no folder of configs, or has a file of a name that another one has.
    """
    folders: list[str] = options.config_dir
    for folder in folders:
        if not any((Path(folder) / kind).is_dir() for kind in FORMS):
            raise UserError(f"--config-dir {folder}: no such folder, or none of {', '.join(FORMS)} in it")
        if os.pathsep in str(Path(folder).resolve()):
            raise UserError(f"--config-dir {folder}: {os.pathsep!r} stands between folders; give it a name without")
    known = filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
    os.environ[FOLDERS] = os.pathsep.join(dict.fromkeys([*known, *(str(Path(folder).resolve()) for folder in folders)]))
    for kind in FORMS:
        for family in families() if kind == "architecture" else ("*",):
            files_of(kind, family)
    for folder in folders:
        refuse_unread(Path(folder))
    return 0


def refuse_unread(folder: Path) -> None:
    """Raises UserError if a folder of one's own has a file, or a folder, that looks like configs and is not read."""
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in FORMS):
        if close := get_close_matches(inner.name, FORMS, n=1, cutoff=0.8):
            raise UserError(f"{inner}: would not be read; call it {close[0]}")
    known = families()
    for kind, form in FORMS.items():
        for path in sorted((folder / kind).rglob("*.y*ml")):
            depth = len(path.relative_to(folder).parts) - 1
            if path.suffix != ".yaml" or (depth != form.count("/") and kind != TABLES):
                raise UserError(f"{path}: would not be read; its place is {form.format(family='FAMILY', name='NAME')}")
            if set(path.stem) & set("+*?[]"):
                raise UserError(f"{path}: a name has none of + * ? [ ]; give it another")
            if kind == "architecture" and path.parent.name not in known:
                raise UserError(f"{path}: would not be read, as no dataset is of the family {path.parent.name}")


def files_of(kind: str, family: str = "*") -> dict[str, Path]:
    """Returns the files of all datasets, architectures, schemes or tables (`kind`) by name, in one family or in all.

    Networks of several families share names; of all families, the file is that of one.

    Raises:
        UserError: if a file of one's own has the name of another.
    """
    pattern = FORMS[kind].format(family=family, name="*")
    found: dict[str, Path] = {}
    for folder in (CONFIGS, *map(Path, filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)))):
        for path in sorted(folder.glob(pattern)):
            other = found.setdefault(path.stem, path)
            if other != path and (kind != "architecture" or other.parent.name == path.parent.name):
                raise UserError(f"{path}: the name is that of {other}; give it another")
    return dict(sorted(found.items()))


def available(kind: str, family: str = "*") -> list[str]:
    """Returns the names of all datasets, architectures, schemes or tables (`kind`), in one family or in all."""
    return list(files_of(kind, family))


def families() -> list[str]:
    """Returns the names of all families."""
    return sorted({path.parent.name for path in files_of("dataset").values()})


def all_cells() -> list[Cell]:
    """Returns every combination of a dataset, an architecture of its family and a scheme."""
    return [
        Cell(*names)
        for family in families()
        for names in product(available("dataset", family), available("architecture", family), available("scheme"))
    ]


def select(pattern: str) -> list[Cell]:
    """Returns the cells named by `cora/gcn/dq_int8`, or by a glob such as `cora/*/dq_*`.

    Raises:
        UserError: if the pattern is not of that form, or no cell matches it.
    """
    parts = pattern.split("/")
    if len(parts) != 3 or not all(parts):
        raise UserError(f"--cell {pattern!r}: expected DATASET/ARCHITECTURE/SCHEME, such as cora/gcn/dq_int8")
    chosen = []
    for kind, part in zip(KINDS, parts, strict=True):
        names = available(kind)
        matches = [name for name in names if fnmatchcase(name, part)]
        if not matches:
            close = get_close_matches(part, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise UserError(f"--cell {pattern!r}: no {kind} {part!r}; {hint}")
        chosen.append(matches)
    datasets, architectures, schemes = chosen
    cells = [c for c in all_cells() if c.dataset in datasets and c.architecture in architectures]
    if not cells:
        there = sorted({cell.architecture for cell in all_cells() if cell.dataset in datasets})
        raise UserError(f"--cell {pattern!r}: no network {parts[1]!r} for this dataset; there are {', '.join(there)}")
    return [cell for cell in cells if cell.scheme in schemes]


def parse_seeds(text: str, option: str = "--seed") -> list[int]:
    """Returns the seeds in a text like `3`, `0,4,7` or `0-9`.

    Args:
        option: where the text stands, for messages.

    Raises:
        UserError: on anything else.
    """
    result: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"{option} {text!r}: expected a whole number, a list (0,4,7) or a range (0-9)")
        low, high = int(first), int(last or first)
        if not low <= high <= LARGEST_SEED:
            raise UserError(f"{option} {text!r}: expected ascending numbers up to {LARGEST_SEED}")
        result.extend(range(low, high + 1))
    return list(dict.fromkeys(result))


def seeds_of(options: argparse.Namespace) -> list[int]:
    """Returns the seeds of --seed; where it was not given, 0."""
    return parse_seeds(options.seed or "0")


def check_options(options: argparse.Namespace, rest: list[str]) -> int:
    """Raises UserError if --cell or --seed is wrong, or --run beside them; returns 0.

    Imports nothing heavy, so the answer comes at once.
    """
    seeds_of(options)
    if getattr(options, "run", None):
        for option in ("cell", "seed", "runs_root"):
            if getattr(options, option):
                raise UserError(f"--{option.replace('_', '-')}: --run names the run; leave one of them out")
    for pattern in options.cell:
        select(pattern)
    return 0


def list_cells(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs `list`: prints what can stand in --cell, and the names of the tables."""
    for family in families():
        print(f"{family}:")
        for kind in KINDS[:2]:
            print(f"  {kind + ':':14} {'  '.join(available(kind, family))}")
    print(f"{'scheme:':16} {'  '.join(available('scheme'))}")
    print(f"{'table:':16} {'  '.join(available(TABLES))}")
    print(f"{len(all_cells())} cells: any DATASET/ARCHITECTURE/SCHEME within a family, e.g. cora/gcn/dq_int8")
    return 0
