"""Range observers against a naive oracle that sorts everything at every step."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from app.engine.program.grid import code_limits, dequantize, qparams, quantize
from models.quantization.fused.census import take_census
from models.quantization.observers import Observer
from models.quantization.qconfig import ObserverConfig


def observer(statistic="minmax", accumulation="running", **settings):
    return Observer(ObserverConfig(statistic, accumulation, **settings))


def naive_statistic(x: torch.Tensor, per_cent: float, low: float | None = None) -> tuple[float, float]:
    """Order statistics of all entries; of the non-zero ones where both are zero but not all entries are."""
    entries = np.sort(x.numpy().ravel())
    for values in (entries, entries[entries != 0]):
        below, above = (int(share / 100 * len(values)) for share in (per_cent if low is None else low, per_cent))
        lo, hi = values[below], values[-1 - above]
        if (lo, hi) != (0, 0) or not entries.any():
            break
    return lo, hi


def stream(kind: str, steps: int = 60):
    """Tensors [N, 5] whose scale wanders, as a site sees them: dense, mostly zero, one-sided or integer-valued."""
    for step in range(steps):
        x = torch.randn(40 + step % 7, 5) * (1.0 + torch.rand(())) + 0.5 * torch.randn(())
        if kind == "sparse":
            x = x * (torch.rand_like(x) < (0.02 if step % 3 else 0.3))
        elif kind == "relu":
            x = torch.relu(x)
        elif kind == "negative":
            x = -x.abs() - 1.0
        elif kind == "ties":
            x = x.round()
        yield x * 1.02**step if step < 30 else x


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("per_cent", "low"), [(0.1, None), (1.0, None), (5.0, None), (30.0, None), (1.0, 30.0), (30.0, 0.0)]
)
@pytest.mark.parametrize("kind", ["dense", "sparse", "relu", "negative", "ties"])
def test_running_percentile_equals_recomputing_it_at_every_step(kind, per_cent, low, masked):
    tracker = observer("percentile", percentile=per_cent, low_percentile=low)
    lo, hi = 0.0, 0.0
    for x in stream(kind):
        protect = torch.rand(len(x)) < 0.3 if masked else None
        tracker(x, protect)
        statistic = naive_statistic(x[~protect] if masked else x, per_cent, low)
        lo, hi = min(lo, statistic[0]), max(hi, statistic[1])
        assert tracker.bounds == (lo, hi)


class FormedOnDemand:
    """A tensor that counts how often it is asked for."""

    protect = None

    def __init__(self, x):
        self.x, self.formed = x, 0

    def tensor(self):
        self.formed += 1
        return self.x


def test_the_census_is_enough_in_steps_that_do_not_move_the_range():
    tracker = observer("percentile", percentile=1.0)
    tracker(torch.randn(1000))
    moves = 0
    for _ in range(100):
        x, before = FormedOnDemand(torch.randn(1000)), tracker.bounds
        moved = tracker.widen(take_census(x.x, None, tracker.tracked(before)), x)
        assert x.formed == moved == (tracker.bounds != before)
        moves += moved
    assert 0 < moves < 50


@pytest.mark.parametrize("masked", [False, True])
def test_running_minmax_is_the_extremes_of_all_that_was_seen(masked):
    tracker = observer()
    seen = []
    for x in stream("dense"):
        protect = torch.rand(len(x)) < 0.3 if masked else None
        tracker(x, protect)
        seen.append((x[~protect] if masked else x).flatten())
        assert tracker.bounds == tuple(end.item() for end in torch.cat(seen).aminmax())


@pytest.mark.parametrize(("statistic", "per_cent"), [("minmax", None), ("percentile", 5.0)])
def test_momentum_starts_at_the_first_tensor_and_averages_exponentially(statistic, per_cent):
    tracker = observer(statistic, "momentum", momentum=0.2, percentile=per_cent)
    average = None
    for x in stream("dense"):
        tracker(x)
        new = np.array(naive_statistic(x, per_cent or 0.0), np.float64)
        average = new if average is None else 0.8 * average + 0.2 * new
        np.testing.assert_allclose(tracker.bounds, average, rtol=1e-5)


def test_momentum_one_keeps_only_the_last_tensor():
    tracker = observer(accumulation="momentum", momentum=1.0)
    for x in stream("dense", 5):
        tracker(x)
    assert tracker.bounds == tuple(end.item() for end in x.aminmax())


@pytest.mark.parametrize("per_cent", [0.1, 1.0, 10.0])
def test_percentile_leaves_out_that_share_at_each_end(per_cent):
    tracker = observer("percentile", percentile=per_cent)
    tracker((torch.randperm(10_001) - 5000).float())
    assert tracker.bounds == (-5000 + per_cent * 100, 5000 - per_cent * 100)


@pytest.mark.parametrize(("statistic", "per_cent"), [("minmax", None), ("percentile", 1.0)])
def test_only_unprotected_rows_are_seen(statistic, per_cent):
    x = torch.randn(200, 6)
    protect = torch.rand(200) < 0.5
    masked, cut = (observer(statistic, percentile=per_cent) for _ in range(2))
    masked(torch.where(protect[:, None], x * 1e6, x), protect)
    cut(x[~protect])
    assert masked.bounds == cut.bounds


@pytest.mark.parametrize("accumulation", ["running", "momentum"])
@pytest.mark.parametrize("statistic", ["minmax", "percentile"])
def test_a_range_of_float64_is_kept_in_float32(statistic, accumulation):
    one, other = (
        observer(statistic, accumulation, percentile=1.0 if statistic == "percentile" else None) for _ in "ab"
    )
    for _ in range(3):
        x = torch.randn(50, 4)
        one(x)
        other(x.double())
    assert other.range.dtype == torch.float32
    torch.testing.assert_close(other.range, one.range)


@pytest.mark.parametrize("accumulation", ["running", "momentum"])
@pytest.mark.parametrize("statistic", ["minmax", "percentile"])
def test_nothing_left_to_see_changes_nothing(statistic, accumulation):
    tracker = observer(statistic, accumulation)
    everything = torch.ones(4, dtype=torch.bool)
    for _ in range(2):
        before = tracker.bounds
        tracker(torch.full((4, 3), 9.0), everything)
        for shape in ((0,), (0, 5), (4, 0)):
            tracker(torch.empty(shape))
        assert tracker.bounds == before
        tracker(torch.randn(4, 3))
    assert not tracker.range.isnan().any()


@pytest.fixture
def citeseer_like(bag_of_words):
    """0.85 % of the entries are not zero, as in Citeseer: both 1 % quantiles are 0."""
    return bag_of_words(400, 500, density=0.0085)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_percentile_that_collapses_is_taken_over_non_zero_entries(bits, citeseer_like):
    x, tracker = citeseer_like, observer("percentile", percentile=1.0)
    tracker(x)
    assert tracker.bounds == naive_statistic(x, 1.0)
    limits = code_limits(bits, signed=True)
    scale, zero_point = qparams(*(np.float32(end) for end in tracker.bounds), *limits)
    y = dequantize(quantize(x, float(scale), float(zero_point), *limits), float(scale), float(zero_point))
    assert (y[x == 0] == 0).all()
    kept = x[x != 0].abs() < 1.5
    assert (y[x != 0] - x[x != 0]).abs()[kept].max() <= scale * 0.501
    assert (y != 0).sum() > 0.8 * (x != 0).sum()


def test_every_collapse_is_counted(citeseer_like):
    tracker = observer("percentile", percentile=1.0)
    for times in (1, 2, 3):
        tracker(citeseer_like)
        assert tracker.collapsed == times


def test_tensors_that_do_not_collapse_are_not_counted(bag_of_words):
    tracker = observer("percentile", percentile=1.0)
    tracker(torch.zeros(100, 10))
    assert tracker.bounds == (0.0, 0.0)
    tracker(torch.relu(torch.randn(100, 10)))
    tracker(bag_of_words(100, 200, density=0.05))
    assert tracker.collapsed == 0


def test_a_sample_never_collapses_where_the_whole_tensor_does_not():
    """1.1 % of the entries are not zero: many a sample has fewer than 1 %."""
    for _ in range(50):
        x = (torch.rand(20_000) < 0.011).float() * (1.0 + torch.rand(20_000))
        tracker = observer("percentile", percentile=1.0, sample=2000)
        tracker(x)
        assert tracker.bounds[1] >= 1.0


def test_a_sample_estimates_the_quantiles():
    """The share beyond a quantile of a sample of n is p +- sqrt(p (1 - p) / n): five deviations."""
    x = torch.randn(100_000)
    bound = 5 * np.sqrt(0.05 * 0.95 / 4000)
    ends = set()
    for _ in range(20):
        tracker = observer("percentile", percentile=5.0, sample=4000)
        tracker(x)
        lo, hi = tracker.bounds
        assert abs((x < lo).float().mean() - 0.05) < bound
        assert abs((x > hi).float().mean() - 0.05) < bound
        ends.add(tracker.bounds)
    assert len(ends) > 10


def test_the_sample_size_may_change():
    x = torch.randn(10_000)
    tracker = observer("percentile", percentile=1.0, sample=50)
    tracker.sample = 10_000
    tracker(x)
    assert tracker.bounds == naive_statistic(x, 1.0)


def test_double_precision_takes_the_same_way(bag_of_words):
    for x in (torch.randn(300, 20), bag_of_words(300, 200, 0.005)):
        single, double = (observer("percentile", percentile=1.0) for _ in range(2))
        protect = torch.rand(300) < 0.2
        for factor in (1.0, 0.5, 2.0):
            single(x * factor, protect)
            double((x * factor).double(), protect)
            assert single.bounds == double.bounds
        assert single.collapsed == double.collapsed


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("accumulation", ["running", "momentum"])
def test_a_trained_tracker_continues_elsewhere(way, accumulation):
    tracker = observer("percentile", accumulation, percentile=2.0)
    tensors = list(stream("sparse", 20))
    for x in tensors[:10]:
        tracker(x)
    if way == "state_dict":
        other = observer("percentile", accumulation, percentile=2.0)
        assert other.bounds is None
        other.load_state_dict(tracker.state_dict())
    else:
        other = pickle.loads(pickle.dumps(tracker)) if way == "pickle" else copy.deepcopy(tracker)
    for x in tensors[10:]:
        assert other.bounds == tracker.bounds
        tracker(x)
        other(x)
    assert other.bounds == tracker.bounds
    assert other.collapsed == tracker.collapsed > 0


def test_what_is_observed_stays_as_it_was():
    x = torch.randn(50, 4, requires_grad=True)
    before = x.detach().clone()
    tracker = observer("percentile", percentile=1.0)
    tracker(x, torch.rand(50) < 0.5)
    assert torch.equal(x.detach(), before)
    assert not tracker.range.requires_grad
