"""Counts of entries against a tracked range: by the kernel, by torch, and what they say."""

from __future__ import annotations

import pytest
import torch

from app.engine.program.grid import Grid
from models.quantization.fused.census import Census, Tails, TrackedRange, merge, take_census, unprotected
from models.quantization.fused.rounding import round_onto

GRID = Grid(0.1, 0, 8, True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(60, 7), (200,), (20, 3, 4), (5, 0)])
def test_the_kernel_counts_as_torch_does(shape, masked):
    x = torch.randn(shape) * (torch.rand(shape) < 0.7)
    protect = torch.rand(shape[0]) < 0.3 if masked else None
    tracked = TrackedRange(-0.5, 1.5, 1.0)
    assert round_onto(x, GRID, protect, tracked).census == take_census(x, protect, tracked)


def test_the_kernel_may_stop_counting_signs_beyond_the_share_left_out():
    x, tracked = torch.rand(1000, 10) + 0.1, TrackedRange(0.0, 1.0, 0.01)
    counted = round_onto(x, GRID, None, tracked).census
    assert 0.01 * x.numel() < counted.positive < x.numel()
    assert counted[:3] == take_census(x, None, tracked)[:3]


def test_entries_on_the_ends_of_a_range_lie_within_it():
    x = torch.tensor([-1.0, -0.5, 0.0, 2.0, 3.0])
    assert take_census(x, None, TrackedRange(-0.5, 2.0, 0.0)) == Census(5, above=1, below=1, positive=2, negative=2)


@pytest.mark.parametrize(
    ("above", "below", "stays"), [(0, 0, True), (2, 1, True), (3, 1, False), (2, 2, False), (3, 0, False)]
)
def test_a_range_stays_while_it_leaves_out_no_more_than_allowed(above, below, stays):
    census = Census(100, above=above, below=below, positive=60, negative=40)
    assert census.leaves_out(Tails(below=1, above=2)) is stays


@pytest.mark.parametrize(
    ("positive", "negative", "collapses"), [(0, 0, False), (2, 0, True), (2, 1, True), (3, 0, False), (0, 2, False)]
)
def test_order_statistics_collapse_if_all_entries_beside_zero_are_left_out(positive, negative, collapses):
    census = Census(100, above=0, below=0, positive=positive, negative=negative)
    assert census.collapses(Tails(below=1, above=2)) is collapses


def test_parts_of_a_tensor_add_up():
    x, tracked = torch.randn(50, 4), TrackedRange(-1.0, 0.5, 0.0)
    parts = [tuple(take_census(part, None, tracked)) for part in (x[:10], x[10:11], x[11:])]
    assert merge(parts) == take_census(x, None, tracked)
    assert merge(parts[:1]) == take_census(x[:10], None, tracked)


def test_unprotected_rows_carry_no_gradient():
    x = torch.randn(4, 2, requires_grad=True)
    seen = unprotected(x, torch.tensor([True, False, True, False]))
    assert torch.equal(seen, x.detach()[[1, 3]])
    assert not seen.requires_grad
