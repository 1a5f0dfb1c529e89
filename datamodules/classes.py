"""Numbers classes 0, 1, ... whatever the labels are, and keeps the labels; names of rows, labels and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import DataError

Label = int | str
ClassNames = tuple[Label, ...]
"""The name of each class, label or number to predict; empty where they are 0, 1, ... themselves."""

SHOWN = 5
"""How many classes a remark names."""


def number_classes(
    name: str,
    labels: Sequence[object],
    place: Callable[[int], str] = "graph {}".format,
    remedy: str = "choose task graph_regression",
) -> tuple[Tensor, int, ClassNames]:
    """Returns the class of each label [n] int64, the number of classes, and their names.

    Labels are whole numbers or words; the classes are the distinct ones, ascending.

    Args:
        name: of the data set.
        labels: numbers, words, or tensors of one number.
        place: says what has the label of this number, for messages.
        remedy: of labels with a fraction.

    Raises:
        DataError: for a label that is neither, for words beside numbers, and unless there are two classes.
    """
    found = _labels(name, labels, place, remedy)
    names = sorted(set(found))
    if len(names) == 1:
        raise DataError(f"{name}: all labels are {names[0]!r}: give two classes or more to learn")
    position = {label: number for number, label in enumerate(names)}
    y = torch.tensor([position[label] for label in found], dtype=torch.int64)
    return y, len(names), () if names == list(range(len(names))) else tuple(names)


def names_of_targets(names: Sequence[str] | None, number: int, task: str) -> ClassNames:
    """Returns what the user calls each label, or each of several numbers to predict; none if there are no names.

    Raises:
        ValueError: for names of classes, which are labels of the data; unless there is a name for each, all different.
    """
    if names is None:
        return ()
    if task.endswith("classification"):
        raise ValueError("target_names: names labels or numbers; classes are called as in the data: leave it out")
    if len(names) != number or len(set(names)) != number or "" in names:
        raise ValueError(f"target_names: expected {number} different names, one a column of `y`, got {list(names)}")
    return tuple(names)


def known_classes(
    name: str, labels: Sequence[object], known: Sequence[Label], place: Callable[[int], str] = "graph {}".format
) -> tuple[Tensor, Tensor]:
    """Returns the classes [n] int64 of labels by those that a network was trained with, and which are given, [n] bool.

    None, NaN and the empty word are no label; their class is 0. For the arguments see `number_classes`.

    Raises:
        DataError: for a label that is none of `known`.
    """
    given = [row for row, label in enumerate(labels) if not is_missing(label)]
    found = _labels(name, [labels[row] for row in given], lambda number: place(given[number]))
    position = {label: number for number, label in enumerate(known)}
    classes = torch.zeros(len(labels), dtype=torch.int64)
    for row, label in zip(given, found, strict=True):
        if label not in position:
            raise DataError(f"{name}: {place(row)}: label {label!r}, the network was trained with {list(known)}")
        classes[row] = position[label]
    return classes, torch.isin(torch.arange(len(labels)), torch.tensor(given, dtype=torch.int64))


def is_missing(target: object) -> bool:
    """Whether what stands for a label, or for numbers, says that there is none: None, NaN or the empty word."""
    if isinstance(target, Tensor):
        return target.is_floating_point() and bool(target.isnan().all())
    return target is None or target == "" or (isinstance(target, float) and isnan(target))


def names_of_rows(name: str, given: object, rows: int, what: str) -> list[Label]:
    """Returns what the user calls each row: whole numbers or words, in a tensor, an array or a list.

    Args:
        name: of the data set.
        given: the names.
        rows: how many there have to be.
        what: a row is, for messages: `node`, `graph`.

    Raises:
        DataError: if there is not one for each row, or one is neither.
    """
    items = given.tolist() if isinstance(given, Tensor | np.ndarray) else given
    if not isinstance(items, list | tuple) or len(items) != rows:
        raise DataError(f"{name}: `id`: expected a number or a word for each {what}, {rows} in all")
    if wrong := [item for item in items if isinstance(item, bool) or not isinstance(item, int | str)]:
        raise DataError(f"{name}: `id`: {wrong[0]!r} is neither a whole number nor a word")
    return list(items)


def coded(name: str, labels: list[object] | np.ndarray[Any, Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Returns labels in a list, or words in an array, as a tensor of numbers, and the words that these stand for.

    Of numbers there are no words. None is a label that is not known: among numbers NaN, among words the empty one.

    Raises:
        DataError: for words beside numbers, for anything else, for bytes that are no text, and for the word `nan`,
            which NumPy makes of a missing label beside words.
    """
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "O":
        labels = labels.tolist()
    if isinstance(labels, list):
        numbers = [item for item in labels if isinstance(item, bool | int | float)]
        known = sum(item is not None for item in labels)
        if numbers and len(numbers) == known:
            return torch.tensor(labels if known == len(labels) else [torch.nan if n is None else n for n in labels]), ()
        wrong = [(node, item) for node, item in enumerate(labels) if not isinstance(item, str) and item is not None]
        if wrong:
            node, item = wrong[0]
            kinds = "labels are words and numbers: choose one of them" if numbers else "expected a number or a word"
            raise DataError(f"{name}: node {node}: `y` is {item!r}: {kinds}")
        labels = np.array([item or "" for item in labels])
    try:
        words = np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels.astype(str)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: `y` holds bytes that are no text in UTF-8: save words as str") from error
    names, codes = np.unique(words, return_inverse=True)
    if "nan" in names:
        node = int((words.flatten() == "nan").argmax())
        raise DataError(
            f"{name}: node {node}: `y` is the word 'nan': leave a missing label empty, or rename that class"
        )
    return torch.from_numpy(codes.flatten()), tuple(names.tolist())


def untrained_classes(y: Tensor, trained: Tensor, names: Sequence[Label]) -> str:
    """Returns a remark on classes of y [rows] of which no row is trained on, by numbers of rows; empty for none."""
    if not len(trained):
        return ""
    without = [str(name) for number, name in enumerate(names) if not bool((y[trained] == number).any())]
    more = ", ..." if len(without) > SHOWN else ""
    what = "class" if len(without) == 1 else "classes"
    return f"{what} {', '.join(without[:SHOWN])}{more}: there is none of them to train on" if without else ""


def unknown_as_class(names: Sequence[Label]) -> str:
    """Returns a remark if -1, which often says that a label is not known, is a class beside 0 and others."""
    if -1 not in names or 0 not in names:
        return ""
    return (
        "label -1 is a class as the others are: if it says that a label is not known, leave it out of what is learned"
    )


def _labels(
    name: str,
    labels: Sequence[object],
    place: Callable[[int], str],
    remedy: str = "choose task graph_regression",
) -> list[Label]:
    found = [_label(name, label, place(number), remedy) for number, label in enumerate(labels)]
    if len({type(label) for label in found}) > 1:
        raise DataError(f"{name}: labels are words and numbers: choose one of them")
    return found


def _label(name: str, label: object, place: str, remedy: str) -> Label:
    if isinstance(label, Tensor):
        if label.numel() != 1:
            raise DataError(
                f"{name}: {place} has {label.numel()} targets: choose one by a transform, or task graph_multilabel or "
                "graph_regression"
            )
        label = label.item()
    if isinstance(label, str) and label:
        return label
    if isinstance(label, bool | int):
        return int(label)
    if isinstance(label, float) and label.is_integer():
        return int(label)
    if label == "":
        remedy = "it is empty: correct it or leave it out"
    elif not isinstance(label, float):
        remedy = "expected a whole number or a word"
    elif not isfinite(label):
        remedy = "correct it or leave it out"
    raise DataError(f"{name}: {place}: `y` is {label!r}, no class: {remedy}")
