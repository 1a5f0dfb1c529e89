from __future__ import annotations

import pytest
import torch

from datamodules import DataError
from datamodules.classes import known_classes, number_classes, untrained_classes


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        ([0, 2, 1, 0], [0, 2, 1, 0], ()),
        ([1, -1, 1], [1, 0, 1], (-1, 1)),
        ([7, 3, 7], [1, 0, 1], (3, 7)),
        (["cat", "dog", "cat"], [0, 1, 0], ("cat", "dog")),
        ([1.0, 0.0], [1, 0], ()),
        ([True, False], [1, 0], ()),
        ([torch.tensor([5]), torch.tensor(4.0)], [1, 0], (4, 5)),
    ],
)
def test_the_distinct_labels_are_the_classes(labels, classes, names):
    y, count, found = number_classes("toy", labels)
    assert (y.tolist(), y.dtype, count, found) == (classes, torch.int64, len(set(classes)), names)


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (0.5, "toy: graph 1: `y` is 0.5, no class: choose task graph_regression"),
        (float("nan"), "toy: graph 1: `y` is nan, no class: correct it"),
        (float("inf"), "toy: graph 1: `y` is inf, no class: correct it"),
        (None, "toy: graph 1: `y` is None, no class: expected a whole number or a word"),
        ("red", "toy: labels are words and numbers"),
        ("", "toy: graph 1: `y` is '', no class: it is empty: correct it or leave it out"),
        (torch.zeros(3), "toy: graph 1 has 3 targets"),
    ],
)
def test_what_is_no_class_is_named(label, sentence):
    with pytest.raises(DataError, match=sentence):
        number_classes("toy", [0, label])


def test_one_class_is_nothing_to_learn_but_may_be_all_that_new_data_has():
    with pytest.raises(DataError, match="toy: all labels are 'red': give two classes or more to learn"):
        number_classes("toy", ["red", "red"])
    assert known_classes("toy", ["red"], ["blue", "red"])[0].tolist() == [1]


def test_classes_that_are_not_trained_on_are_told():
    y = torch.arange(8)
    assert untrained_classes(y, y, range(8)) == ""
    assert untrained_classes(y % 3, torch.tensor([0, 1, 3]), "abc") == "class c: there is none of them to train on"
    assert untrained_classes(y, y[:1], y.tolist()) == "classes 1, 2, 3, 4, 5, ...: there is none of them to train on"
