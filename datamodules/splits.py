"""Splits of a data set into training, validation and test graphs (or nodes): by folds, by shares, or by a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from datamodules.batched import Split
from datamodules.classes import ClassNames, Label
from datamodules.errors import DataError, check_at_least, check_choice
from datamodules.raw.local_files import read_file
from datamodules.raw.split_files import Integers, ascending, read_split
from models.seeds import run_seed

NUM_FOLDS = 10
SHARE = 0.1
"""Of the graphs, for validation and for test, where a data set of many is split by shares."""

SHARES = ("val_share, test_share", "graphs")
"""What the settings of shares are called, and what is split by them."""

SEED = 12345
"""Seed of the shuffle before graphs are divided into folds or by shares; the same in every run."""

GRAPH_TASKS = ("graph_classification", "graph_multilabel", "graph_regression")
GraphTask = Literal["graph_classification", "graph_multilabel", "graph_regression"]

NOT_STRATIFIED = "the split is drawn without regard to labels: a row has several, which no split divides all evenly"
"""A remark on data with several labels."""


def fold_of_run(fold: int | None, num_folds: int = NUM_FOLDS) -> int:
    """Returns `fold`, or for None the fold that belongs to the run's seed: of ten, seeds 0..9 are the folds 0..9.

    Raises:
        ValueError: unless `fold` is None or below `num_folds`, from 0 on.
    """
    if fold is None:
        return run_seed() % num_folds
    if not 0 <= fold < num_folds:
        raise ValueError(f"fold: expected 0 to {num_folds - 1}, got {fold}")
    return fold


def check_split(
    *, task: str, fold: int | None, val: float, test: float, num_folds: int = NUM_FOLDS, file: str | None = None
) -> None:
    """Checks what the datamodules of many graphs of one's own take alike.

    Raises:
        ValueError: for an unknown task, a fold that is none, fewer than three folds, shares that leave nothing to train
            on, or a fold beside a file.
    """
    check_choice("task", task, GRAPH_TASKS)
    check_at_least("num_folds", num_folds, 3)
    fold_of_run(fold, num_folds)
    others = {"val_share": (val, SHARE), "test_share": (test, SHARE), "num_folds": (num_folds, NUM_FOLDS)}
    refuse_beside_file(file, fold=(fold, None), **others)
    if min(val, test) <= 0 or val + test >= 1:
        raise ValueError(f"val_share, test_share: expected positive shares below 1 in all, got {val} and {test}")


@dataclass(frozen=True)
class Splitting:
    """How a data set of many graphs of one's own is split: the settings that its datamodules take alike.

    Attributes:
        task: of `GRAPH_TASKS`; classes are divided as evenly as possible.
        fold: number of the test fold, from 0 on; None: that of the run's seed.
        num_folds: how many there are.
        val, test: shares of the graphs, where there are no folds.
        file: a file that says the split, see `read_split`; None: none does.

    Raises:
        ValueError: see `check_split`.
    """

    task: str
    fold: int | None
    num_folds: int
    val: float
    test: float
    file: str | None

    def __post_init__(self) -> None:
        check_split(**vars(self))

    def of(
        self,
        name: str,
        y: Tensor,
        ids: Sequence[Label],
        *,
        by_shares: bool,
        classes: ClassNames = (),
        given: Path | None = None,
    ) -> tuple[Split, str]:
        """Returns the split of a data set, and a remark on it, which may be empty.

        Args:
            name: of the data set.
            y: [G] or [G, C] what is learned of each graph.
            ids: what the user calls each.
            by_shares: whether it has no folds.
            classes: their names, for messages.
            given: a folder with folds, see `read_folds`; None: they are drawn.

        Raises:
            ValueError: for a setting of the other way to split.
            DataError: if there are too few graphs, or a file does not say a split.
        """
        stratify = self.task == "graph_classification"
        if self.file is not None:
            return read_split(name, self.file, len(y), ids=ids)
        drawn = NOT_STRATIFIED if self.task == "graph_multilabel" else ""
        if by_shares:
            refuse_without_effect("on shares", fold=(self.fold, None), num_folds=(self.num_folds, NUM_FOLDS))
        else:
            refuse_without_effect("on folds", val_share=(self.val, SHARE), test_share=(self.test, SHARE))
        if by_shares:
            return split_by_size(name, y, val=self.val, test=self.test, stratify=stratify, classes=classes), drawn
        if given is None:
            folds = draw_folds(name, y, stratify=stratify, num_folds=self.num_folds)
        else:
            folds, drawn = read_folds(name, given, len(y), self.num_folds), ""
        remark = "; ".join(filter(None, [drawn, tell_wrapped(self.fold, self.num_folds)]))
        return split_by_fold(folds, fold_of_run(self.fold, self.num_folds)), remark


def split_by_fold(folds: list[Integers], fold: int) -> Split:
    """Returns the split that tests on `fold` (0..K-1), validates on the one before it, and trains on the others.

    The fold before the first is the last.
    """
    val = (fold - 1) % len(folds)
    train = [graphs for k, graphs in enumerate(folds) if k not in (fold, val)]
    return Split(*map(ascending, (np.concatenate(train), folds[val], folds[fold])))


def draw_folds(name: str, y: Tensor, *, stratify: bool = True, num_folds: int = NUM_FOLDS) -> list[Integers]:
    """Shuffles the graphs of the data set `name` into folds and returns their numbers.

    `stratify`: spread each class of `y` [G] over the folds as evenly as possible.

    Raises:
        DataError: if there are fewer graphs than folds, or, with `stratify`, no class has as many.
    """
    from sklearn.model_selection import KFold, StratifiedKFold  # slow to import

    if len(y) < num_folds:
        raise DataError(f"{name}: {num_folds} folds need at least {num_folds} graphs, there are {len(y)}")
    if not stratify:
        return [test for _, test in KFold(num_folds, shuffle=True, random_state=SEED).split(y)]
    if int(y.bincount().max()) < num_folds:
        raise DataError(
            f"{name}: no class has {num_folds} graphs, so they cannot be spread over {num_folds} folds: "
            "give more graphs, a smaller data.num_folds, or split by shares: data.folds shares (TU files), "
            "data.split shares (PyG data sets)"
        )
    return [test for _, test in StratifiedKFold(num_folds, shuffle=True, random_state=SEED).split(y, y)]


def read_folds(name: str, folder: Path, num_graphs: int, num_folds: int = NUM_FOLDS) -> list[Integers]:
    """Reads the folds of the data set `name` from `test_idx-1.txt` ... `test_idx-<num_folds>.txt`.

    Each line is the number of a graph, counted from 0.

    Raises:
        DataError: if a file is missing or holds anything else, or if a graph is in no fold or in several.
    """
    remedy = 'correct it, or use folds="stratified"'
    folds = []
    for k in range(1, num_folds + 1):
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
    words: tuple[str, str] = SHARES,
    classes: ClassNames = (),
) -> Split:
    """Shuffles graphs (or nodes) of the data set `name`, of class or target `y` [G]; returns a split of these sizes.

    Args:
        val, test: shares of them (below 1), or their numbers.
        stratify: divide each class of `y` in these shares.
        words: what the settings, and what is split, are called.
        classes: their names, for messages.

    Raises:
        ValueError: unless both sizes are positive and leave some to train on.
        DataError: if there are too few.
    """
    settings, what = words
    whole = all(size < 1 or float(size).is_integer() for size in (val, test))
    if min(val, test) <= 0 or not whole or sum(size if size < 1 else size / len(y) for size in (val, test)) >= 1:
        expected = "shares below 1 in all" if what == "graphs" else "shares below 1 or whole numbers, fewer than all"
        raise ValueError(f"{settings}: expected positive {expected}, got {val} and {test}")

    take = partial(split_off, name, y, stratify=stratify, words=words, classes=classes)
    rest, tested = take(np.arange(len(y)), test)
    of_rest = val / (1 - test) if test < 1 else val * len(y) / len(rest)
    trained, validated = take(rest, of_rest if val < 1 else val)
    return Split(*map(ascending, (trained, validated, tested)))


def split_off(
    name: str,
    y: Tensor,
    numbers: Integers,
    size: float,
    *,
    stratify: bool = True,
    words: tuple[str, str] = SHARES,
    classes: ClassNames = (),
) -> tuple[Integers, Integers]:
    """Shuffles some graphs and returns those that are left and those that are taken; arguments as in `split_by_size`.

    Raises:
        DataError: if there are too few.
    """
    from sklearn.model_selection import train_test_split  # slow to import

    (settings, what), labels = words, y[numbers] if stratify else None
    if labels is not None and (alone := labels.bincount() == 1).any():
        number = int(alone.int().argmax())
        raise DataError(
            f"{name}: class {classes[number] if classes else number!r} has too few {what} to be divided by {settings}: "
            "add some, or leave it out"
        )
    try:
        left, taken = train_test_split(
            numbers, test_size=size if size < 1 else int(size), stratify=labels, random_state=SEED
        )
    except ValueError as error:
        raise DataError(f"{name}: {len(y)} {what} cannot be split so ({error}): change {settings}") from error
    return left, taken


def tell_wrapped(chosen: int | None, count: int, what: str = "folds") -> str:
    """Returns a remark where a seed takes a fold (or split) that a smaller seed takes too; empty where it does not."""
    seed = run_seed()
    if chosen is not None or seed < count:
        return ""
    number = seed % count
    return f"there are {count} {what}: seed {seed} takes {what.removesuffix('s')} {number}, as seed {number} does"


def refuse_beside_file(file: str | None, **settings: tuple[object, object]) -> None:
    """Raises ValueError for a setting that has no effect where a file says the split; see `refuse_without_effect`."""
    if file is not None:
        refuse_without_effect("beside split_file", **settings)


def refuse_without_effect(where: str, **settings: tuple[object, object]) -> None:
    """Raises ValueError for a setting that is not as by default.

    Args:
        where: why it has no effect.
        settings: of each its value, and its default.
    """
    for setting, (value, default) in settings.items():
        if value != default:
            raise ValueError(f"{setting}: has no effect {where}; leave it out")
