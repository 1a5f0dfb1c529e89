"""Writes a small data set in TUDataset's text files: 188 generated molecules of 7 kinds of atoms, in two classes.

    python examples/generated_molecules.py DIR

makes DIR/MOLECULES, as large as MUTAG and as unbalanced. Class 1 has more rings and more atoms of the second and third
kind. Needs nothing but NumPy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

NAME, MOLECULES = "MOLECULES", 188
SHARES = {-1: [0.70, 0.10, 0.08, 0.04, 0.04, 0.02, 0.02], 1: [0.60, 0.10, 0.20, 0.04, 0.03, 0.02, 0.01]}
"""Of each kind of atom, by class."""


def write(folder: Path) -> None:
    """Writes the data set below a folder; the same one at every call."""
    generator, atoms = np.random.default_rng(0), 0
    lines: dict[str, list[str]] = {name: [] for name in ("A", "graph_indicator", "graph_labels", "node_labels")}
    for number in range(1, MOLECULES + 1):
        size, label = int(generator.integers(10, 29)), 1 if generator.random() < 0.66 else -1
        bonds = {(atom, atom + 1) for atom in range(size - 1)}
        bonds |= {(first, first + 5) for first in generator.integers(0, size - 5, 3 + label).tolist()}
        ends = [(atoms + a + 1, atoms + b + 1) for a, b in sorted(bonds)]
        lines["A"] += [f"{a}, {b}" for pair in ends for a, b in (pair, pair[::-1])]
        lines["graph_indicator"] += [str(number)] * size
        lines["graph_labels"].append(str(label))
        lines["node_labels"] += map(str, generator.choice(7, size, p=SHARES[label]).tolist())
        atoms += size
    for name, of_file in lines.items():
        save(folder / NAME / f"{NAME}_{name}.txt", of_file)


def save(path: Path, lines: Iterable[str]) -> None:
    """Writes lines to a file, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="gets the folder MOLECULES")
    write(parser.parse_args().folder)
