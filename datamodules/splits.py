"""Splits of a data set into training, validation and test graphs: by folds or by shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batched import Split
from datamodules.errors import DataError, check_choice
from datamodules.raw.local_files import read_file
from models.quantization.seeds import run_seed

NUM_FOLDS = 10
SEED = 12345
"""Seed of the shuffle before graphs are divided into folds or by shares; the same in every run."""

Integers = NDArray[np.int64]


def fold_of_run(fold: int | None) -> int:
    """Returns `fold`, or for None the fold that belongs to the run's seed: seeds 0..9 are the folds 1..10.

    Raises:
        ValueError: unless `fold` is None or one of 1..10.
    """
    if fold is None:
        return run_seed() % NUM_FOLDS + 1
    if not 1 <= fold <= NUM_FOLDS:
        raise ValueError(f"fold: expected 1 to {NUM_FOLDS}, got {fold}")
    return fold


def check_split(*, task: str, fold: int | None, val: float, test: float) -> None:
    """Checks what the datamodules of many graphs of one's own take alike.

    Raises:
        ValueError: for an unknown task, a fold that is none, or shares that leave nothing to train on.
    """
    check_choice("task", task, ("graph_classification", "graph_regression"))
    fold_of_run(fold)
    if min(val, test) <= 0 or val + test >= 1:
        raise ValueError(f"val_share, test_share: expected positive shares below 1 in all, got {val} and {test}")


def split_by_fold(folds: list[Integers], fold: int) -> Split:
    """Returns the split that tests on `fold` (1..K), validates on the one before it, and trains on the others.

    The fold before the first is the last.
    """
    test, val = fold - 1, (fold - 2) % len(folds)
    train = [graphs for k, graphs in enumerate(folds) if k not in (test, val)]
    return Split(*map(ascending, (np.concatenate(train), folds[val], folds[test])))


def draw_folds(name: str, y: Tensor, *, stratify: bool = True) -> list[Integers]:
    """Shuffles the graphs of the data set `name` into ten folds and returns their numbers.

    `stratify`: spread each class of `y` [G] over the folds as evenly as possible.

    Raises:
        DataError: if there are fewer than ten graphs, or, with `stratify`, no class has ten.
    """
    from sklearn.model_selection import KFold, StratifiedKFold  # slow to import

    if len(y) < NUM_FOLDS:
        raise DataError(f"{name}: {NUM_FOLDS} folds need at least {NUM_FOLDS} graphs, there are {len(y)}")
    if not stratify:
        return [test for _, test in KFold(NUM_FOLDS, shuffle=True, random_state=SEED).split(y)]
    if int(y.bincount().max()) < NUM_FOLDS:
        raise DataError(
            f"{name}: no class has {NUM_FOLDS} graphs, so they cannot be spread over {NUM_FOLDS} folds: "
            "give more graphs, or split by shares: data.folds shares (TU files), data.split shares (PyG data sets)"
        )
    return [test for _, test in StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=SEED).split(y, y)]


def read_folds(name: str, folder: Path, num_graphs: int) -> list[Integers]:
    """Reads the folds of the data set `name` from `test_idx-1.txt` ... `test_idx-10.txt`.

    Each line is the number of a graph, counted from 0.

    Raises:
        DataError: if a file is missing or holds anything else, or if a graph is in no fold or in several.
    """
    remedy = 'correct it, or use folds="stratified"'
    folds = []
    for k in range(1, NUM_FOLDS + 1):
        path = folder / f"test_idx-{k}.txt"
        try:
            words = read_file(path).decode().split()
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


def split_by_size(
    name: str,
    y: Tensor,
    *,
    val: float,
    test: float,
    stratify: bool = True,
    words: tuple[str, str] = ("val_share, test_share", "graphs"),
) -> Split:
    """Shuffles the graphs (or nodes) of the data set `name` and returns the split with these sizes.

    Args:
        y: [G] class or target of each.
        val, test: shares of them (below 1), or their numbers.
        stratify: divide each class of `y` in these shares.
        words: what the settings, and what is split, are called.

    Raises:
        ValueError: unless both sizes are positive and leave some to train on.
        DataError: if there are too few.
    """
    from sklearn.model_selection import train_test_split  # slow to import

    settings, what = words
    whole = all(size < 1 or float(size).is_integer() for size in (val, test))
    if min(val, test) <= 0 or not whole or sum(size if size < 1 else size / len(y) for size in (val, test)) >= 1:
        expected = "shares below 1 in all" if what == "graphs" else "shares below 1 or whole numbers, fewer than all"
        raise ValueError(f"{settings}: expected positive {expected}, got {val} and {test}")

    def cut(numbers: Integers, size: float) -> tuple[Integers, Integers]:
        labels = y[numbers] if stratify else None
        kept, taken = train_test_split(
            numbers, test_size=size if size < 1 else int(size), stratify=labels, random_state=SEED
        )
        return kept, taken

    try:
        rest, tested = cut(np.arange(len(y)), test)
        of_rest = val / (1 - test) if test < 1 else val * len(y) / len(rest)
        trained, validated = cut(rest, of_rest if val < 1 else val)
    except ValueError as error:
        raise DataError(f"{name}: {len(y)} {what} cannot be split so ({error}): change {settings}") from error
    return Split(*map(ascending, (trained, validated, tested)))


def ascending(graphs: Integers) -> Tensor:
    """Returns numbers of graphs as a tensor, in ascending order."""
    return torch.from_numpy(np.sort(graphs))
