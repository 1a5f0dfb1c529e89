"""Who trains, who chooses the epoch, who tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import DataError
from datamodules.batched import Split
from models.quantization.seeds import run_seed

NUM_FOLDS = 10
SEED = 12345
"""Of the shuffle before folds and fractions are cut, the same for every run."""

Integers = NDArray[np.int64]


def fold_of_run(fold: int | None) -> int:
    """`fold` if one is given, else that of the run's seed: seeds 0..9 are the folds 1..10.

    Raises:
        ValueError: unless it is one of 1..10.
    """
    if fold is None:
        return run_seed() % NUM_FOLDS + 1
    if not 1 <= fold <= NUM_FOLDS:
        raise ValueError(f"fold: expected 1 to {NUM_FOLDS}, got {fold}")
    return fold


def cross_validation(folds: list[Integers], fold: int) -> Split:
    """Tests on fold 1..K, validates on the one before it (before the first is the last), trains on the rest."""
    test, val = fold - 1, (fold - 2) % len(folds)
    train = [graphs for k, graphs in enumerate(folds) if k not in (test, val)]
    return Split(*map(as_numbers, (np.concatenate(train), folds[val], folds[test])))


def stratified_folds(name: str, y: Tensor, classes: bool = True) -> list[Integers]:
    """Ten shuffled folds; with `classes`, each class is spread over them as evenly as can be.

    Raises:
        DataError: with fewer than ten graphs.
    """
    from sklearn.model_selection import KFold, StratifiedKFold  # slow to import

    if len(y) < NUM_FOLDS:
        raise DataError(f"{name}: {NUM_FOLDS} folds need at least {NUM_FOLDS} graphs, there are {len(y)}")
    if not classes:
        return [test for _, test in KFold(NUM_FOLDS, shuffle=True, random_state=SEED).split(y)]
    if int(y.bincount().max()) < NUM_FOLDS:
        raise DataError(f"{name}: no class has {NUM_FOLDS} graphs, so they cannot be spread over {NUM_FOLDS} folds")
    return [test for _, test in StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=SEED).split(y, y)]


def given_folds(name: str, folder: Path, num_graphs: int) -> list[Integers]:
    """The folds in `test_idx-1.txt` ... `test_idx-10.txt`, a graph number from 0 on in each line.

    Raises:
        DataError: if a file is missing or holds something else, or a graph is in no fold or in several.
    """
    remedy = 'correct it, or use folds="stratified"'
    folds = []
    for k in range(1, NUM_FOLDS + 1):
        path = folder / f"test_idx-{k}.txt"
        try:
            words = path.read_text().split()
        except (OSError, UnicodeDecodeError):
            raise DataError(f'{name}: {path} cannot be read: put it there, or use folds="stratified"') from None
        for line, word in enumerate(words, 1):
            if not word.isdecimal() or int(word) >= num_graphs:
                raise DataError(f"{name}: {path} line {line}: expected 0 to {num_graphs - 1}, got {word!r}: {remedy}")
        folds.append(np.array(words, dtype=np.int64))
    times = np.bincount(np.concatenate(folds), minlength=num_graphs)
    if (times != 1).any():
        graph = int((times != 1).argmax())
        raise DataError(f"{name}: graph {graph} is in {times[graph]} of the folds in {folder}, expected 1: {remedy}")
    return folds


def fractions(name: str, y: Tensor, val: float, test: float, classes: bool = True) -> Split:
    """A shuffled split by shares of the graphs; with `classes`, each class is split in these shares.

    Raises:
        ValueError: unless both shares are positive and leave something to train on.
        DataError: if there are too few graphs.
    """
    from sklearn.model_selection import train_test_split  # slow to import

    if min(val, test) <= 0 or val + test >= 1:
        raise ValueError(f"val_share, test_share: expected positive shares below 1 in all, got {val} and {test}")

    def cut(numbers: Integers, share: float) -> tuple[Integers, Integers]:
        labels = y[numbers] if classes else None
        return train_test_split(numbers, test_size=share, stratify=labels, random_state=SEED)

    try:
        rest, tested = cut(np.arange(len(y)), test)
        trained, validated = cut(rest, val / (1 - test))
    except ValueError as error:
        raise DataError(f"{name}: {len(y)} graphs cannot be split so ({error}): change the shares") from error
    return Split(*map(as_numbers, (trained, validated, tested)))


def as_numbers(graphs: Integers) -> Tensor:
    """Ascending numbers of graphs."""
    return torch.from_numpy(np.sort(graphs))
