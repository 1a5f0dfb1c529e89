from __future__ import annotations

import pytest
import torch

from datamodules import DataError
from datamodules.classes import number_classes


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
        (torch.zeros(3), "toy: graph 1 has 3 targets"),
    ],
)
def test_what_is_no_class_is_named(label, sentence):
    with pytest.raises(DataError, match=sentence):
        number_classes("toy", [0, label])
