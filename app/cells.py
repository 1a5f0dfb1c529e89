"""Cells: dataset / architecture / scheme, each a file under configs/. Light: no heavy imports."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from app.cli import UserError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
LARGEST_SEED = 2**32 - 1  # of NumPy
KINDS = ("dataset", "architecture", "scheme")


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
        """From general to particular; later files override earlier ones."""
        parts = (self.dataset, self.architecture, self.scheme)
        return [CONFIGS / "base.yaml", *(CONFIGS / k / f"{p}.yaml" for k, p in zip(KINDS, parts, strict=True))]


def available(kind: str) -> list[str]:
    """Names of the datasets, architectures or schemes there are."""
    return sorted(path.stem for path in (CONFIGS / kind).glob("*.yaml"))


def all_cells() -> list[Cell]:
    """Every combination."""
    return [Cell(*names) for names in product(*map(available, KINDS))]


def select(pattern: str) -> list[Cell]:
    """The cells a word like `cora/gcn/dq_int8` or a glob like `cora/*/dq_*` names.

    Raises:
        UserError: if it is not of that form or names nothing.
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
    return [Cell(*names) for names in product(*chosen)]


def seeds(text: str) -> list[int]:
    """Seeds of `3`, `0,4,7` or `0-9`.

    Raises:
        UserError: on anything else.
    """
    result: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"--seed {text!r}: expected a whole number, a list (0,4,7) or a range (0-9)")
        low, high = int(first), int(last or first)
        if not low <= high <= LARGEST_SEED:
            raise UserError(f"--seed {text!r}: expected ascending numbers up to {LARGEST_SEED}")
        result.extend(range(low, high + 1))
    return list(dict.fromkeys(result))


def check_words(options: argparse.Namespace, rest: list[str]) -> int:
    """Checks --cell and --seed, which needs nothing heavy; what is wrong is answered at once."""
    seeds(options.seed)
    for pattern in options.cell:
        select(pattern)
    return 0


def list_cells(options: argparse.Namespace, rest: list[str]) -> int:
    """Prints what can stand in --cell."""
    for kind in KINDS:
        print(f"{kind + ':':14} {'  '.join(available(kind))}")
    print(f"{len(all_cells())} cells: any DATASET/ARCHITECTURE/SCHEME of these, e.g. cora/gcn/dq_int8")
    return 0
