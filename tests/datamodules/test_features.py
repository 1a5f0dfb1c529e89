from __future__ import annotations

import pytest
import torch

from datamodules import DataError
from datamodules.features import Scaling, interpret

SIZES = torch.tensor([2, 1])


def test_measurements_stay():
    x = torch.tensor([[0.5], [1.0], [2.0]])
    found = interpret("toy", x, SIZES, "auto")
    assert torch.equal(found.x, x)
    assert (found.width, found.remark) == (1, "")


@pytest.mark.parametrize(("kind", "said"), [("auto", True), ("categories", False)])
def test_one_column_of_whole_numbers_is_a_category(kind, said):
    found = interpret("toy", torch.tensor([[4], [0], [1]]), SIZES, kind)
    assert (found.x.tolist(), found.x.dtype, found.width) == ([[4], [0], [1]], torch.int64, 5)
    assert ("taken for one of 5 categories" in found.remark) == said


@pytest.mark.parametrize(("kind", "said"), [("auto", True), ("numbers", False)])
def test_several_columns_of_whole_numbers_are_measurements(kind, said):
    found = interpret("toy", torch.tensor([[4, 0], [0, 1], [1, 1]]), SIZES, kind)
    assert (found.x.tolist(), found.x.dtype, found.width) == ([[4, 0], [0, 1], [1, 1]], torch.float32, 2)
    assert ("2 whole-number columns of `x` are taken for measurements" in found.remark) == said


def test_columns_of_zeros_and_ones_need_no_remark():
    assert interpret("toy", torch.tensor([[0, 1], [1, 1], [0, 0]]), SIZES, "auto").remark == ""


def test_several_columns_of_categories_become_one_hot():
    found = interpret("toy", torch.tensor([[7, 0], [-2, 1], [7, 1]]), SIZES, "categories")
    assert found.x.tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]]
    assert found.width == 4


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.tensor([[0], [1], [-1]]), "toy: graph 1 node 0: `x` is the category -1: number categories from 0 on"),
        (torch.tensor([[0], [1 << 40], [1]]), "toy: graph 0 node 1: `x` is the category 1099511627776: number"),
        (torch.tensor([[0.0], [0.5], [1.0]]), "toy: graph 0 node 1: `x` is no whole number"),
    ],
)
def test_what_is_no_category_is_named(x, sentence):
    with pytest.raises(DataError, match=sentence):
        interpret("toy", x, SIZES, "categories")


class TestStandardized:
    chosen = torch.tensor([True, True, True, False])

    def test_chosen_rows_have_mean_0_and_deviation_1(self):
        x = torch.tensor([[50000.0], [50001.0], [50002.0], [50004.0]])
        assert Scaling.of(x, self.chosen).applied(x).tolist() == [[-1.0], [0.0], [1.0], [3.0]]

    def test_yes_or_no_stays(self):
        x = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
        assert torch.equal(Scaling.of(x, self.chosen).applied(x), x)

    def test_a_constant_loses_its_mean(self):
        x = torch.tensor([[0.1], [0.1], [0.1], [0.6]])
        torch.testing.assert_close(Scaling.of(x, self.chosen).applied(x), torch.tensor([[0.0], [0.0], [0.0], [0.5]]))
