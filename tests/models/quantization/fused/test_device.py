"""On a GPU ranges, grids and codes are those of the host, and training never waits; see `tests.fake_gpu`."""

from __future__ import annotations

from copy import deepcopy
from importlib.metadata import version
from itertools import product

import pytest
import torch
from packaging.version import Version
from torch.utils._python_dispatch import TorchDispatchMode

from app.engine.program.grid import Grid, qparams, quantize
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.fused import gpu
from models.quantization.fused.device import DeviceGrid, Shares, follow, power_of_two_from, statistic
from models.quantization.fused.rounding import round_onto
from models.quantization.learned_step import LearnedStep
from models.quantization.observers import Observer
from models.quantization.qconfig import ObserverConfig, SiteConfig
from models.quantization.range_grids import grid_with_margin
from models.quantization.scales.columns import ColumnScales
from tests.fake_gpu import GPU, some_gpu

STATISTICS = [
    ObserverConfig(**statistic, **accumulation)
    for statistic, accumulation in product(
        (
            {"statistic": "minmax"},
            {"statistic": "percentile", "percentile": 1.0},
            {"statistic": "percentile", "percentile": 0.5, "low_percentile": 20.0},
        ),
        ({"accumulation": "running"}, {"accumulation": "momentum", "momentum": 0.1}),
    )
]


@pytest.fixture(params=["torch", "triton"], autouse=True)
def way(request, monkeypatch):
    """Plain ops of torch, or the kernels: compiled where there is a GPU, else as Triton's interpreter runs them."""
    if request.param == "triton":
        pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    monkeypatch.setattr(gpu, "compiles", lambda: request.param == "triton")
    return request.param


@pytest.fixture
def last_bit(way):
    """What averages may differ by: nothing, but that interpreters before Triton 3.9 round an fma twice."""
    exact = way == "torch" or torch.cuda.is_available() or Version(version("triton")) >= Version("3.9")
    return 0.0 if exact else 2.0**-23


def tensors() -> list[torch.Tensor]:
    """Dense, lopsided, all zero, nearly all zero (a percentile collapses), and a vector."""
    sparse = torch.zeros(50, 8)
    sparse[3, :2], sparse[20, 4] = torch.tensor([1.5, -2.5]), 0.5
    return [
        torch.randn(50, 8),
        torch.rand(50, 8) + 3.0,
        torch.zeros(50, 8),
        sparse,
        torch.randn(50, 8) * 4,
        torch.randn(50),
    ]


@pytest.mark.parametrize("config", STATISTICS, ids=str)
@pytest.mark.parametrize("protected", [None, 0.3, 1.0])
def test_a_range_moves_as_on_the_host(config, protected, last_bit):
    here, there = Observer(config), Observer(config)
    with some_gpu():
        there.to(GPU)
        for x in tensors():
            protect = None if protected is None else torch.rand(50) < protected
            here(x, protect)
            there(x.to(GPU), None if protect is None else protect.to(GPU))
            torch.testing.assert_close(there.range.cpu(), here.range, rtol=last_bit, atol=0, equal_nan=True)
            assert int(there.collapsed) == int(here.collapsed)
    assert here.range.isnan().all() == (protected == 1.0)


def test_a_percentile_of_many_entries_is_that_of_a_sample():
    x = torch.linspace(-1.0, 1.0, 100_000).view(1000, 100)
    found = statistic(x, torch.arange(1000) >= 500, Shares(0.1, 0.1), sample=5000)
    assert found.range.tolist() == pytest.approx([-0.9, -0.1], abs=0.05)
    assert found.seen
    assert not found.collapsed


def test_powers_of_two_are_the_smallest_that_are_not_below():
    scale = torch.tensor([0.25, 0.3, 1.0, 1.5, 1e-12])
    assert power_of_two_from(scale).tolist() == [0.25, 0.5, 1.0, 2.0, 2.0**-39]


class Divisors(TorchDispatchMode):
    """Notes what tensors are divided by."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        if op.overloadpacket is torch.ops.aten.div:
            self.seen.append(args[1])
        return op(*args, **(kwargs or {}))


def test_codes_are_no_quotients_by_a_number_of_the_host():
    """CUDA multiplies by the reciprocal of one."""
    x, scale = torch.randn(50, 8), float(torch.tensor(0.3))
    with Divisors() as divisors:
        codes = quantize(x, scale, 1, -8, 7)
    assert [type(divisor) for divisor in divisors.seen] == [torch.Tensor]
    assert torch.equal(codes, quantize(x, torch.tensor(scale), 1, -8, 7))


def test_scales_are_no_quotients_by_a_number_of_the_host_either():
    columns = ColumnScales("site", "node", SiteConfig(4, True, "gc", ObserverConfig(), None))
    with Divisors() as divisors:
        qparams(torch.tensor(-1.0), torch.tensor(2.0), -8, 7)
        columns.column_scales(torch.randn(5, 3))
    assert {type(divisor) for divisor in divisors.seen} == {torch.Tensor}


GRIDS = [
    {"signed": False},
    {"signed": True},
    {"signed": True, "symmetric": True},
    {"signed": True, "power_of_two": True},
]


@pytest.mark.parametrize("gradient", ["gc", "ste"])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: list(grid)[-1])
@pytest.mark.parametrize("kind", [FakeQuantize, LearnedStep])
def test_values_and_gradients_are_those_of_the_host(kind, grid, gradient):
    observer = ObserverConfig("percentile", "learned" if kind is LearnedStep else "running", percentile=1.0)
    here = kind("site", "node", SiteConfig(4, gradient=gradient, observer=observer, noise=None, **grid))
    there = deepcopy(here)
    with some_gpu():
        there.to(GPU)
        for x in tensors()[:5]:
            protect, upstream = torch.rand(50) < 0.2, torch.randn(50, 8)
            results = []
            for site, move in ((here, torch.Tensor.clone), (there, lambda t: t.to(GPU))):
                given = move(x).requires_grad_()
                rounded = site(given, move(protect))
                site.zero_grad()
                rounded.backward(move(upstream))
                results.append([rounded.detach(), given.grad, *(p.grad for p in site.parameters())])
            for expected, computed in zip(*results, strict=True):
                torch.testing.assert_close(computed.cpu(), expected, rtol=1e-5, atol=0)
            assert torch.equal(results[1][0].cpu(), results[0][0])
            assert torch.equal(results[1][1].cpu(), results[0][1])
        assert torch.equal(there.eval()(x.to(GPU)).cpu(), here.eval()(x)), "in evaluation as well"


@pytest.mark.parametrize(("kind", "accumulation"), [(FakeQuantize, "running"), (LearnedStep, "learned")])
def test_a_site_without_a_range_cannot_be_evaluated_there_either(kind, accumulation):
    site = kind("site", "node", SiteConfig(8, True, "gc", ObserverConfig(accumulation=accumulation), None))
    with some_gpu(), pytest.raises(ValueError, match="has not seen any data"):
        site.to(GPU).eval()(torch.ones(3, 2, device=GPU))


def test_a_range_that_training_has_lost_is_noticed_in_the_next_evaluation():
    observer = ObserverConfig(accumulation="momentum", momentum=0.5)
    site = FakeQuantize("site", "node", SiteConfig(8, True, "gc", observer, None))
    with some_gpu():
        site.to(GPU)(torch.ones(3, 2, device=GPU))
        site.eval()(torch.ones(3, 2, device=GPU))
        site.train()(torch.full((3, 2), torch.nan, device=GPU))
        with pytest.raises(ValueError, match="has not seen any data, or NaN"):
            site.eval()(torch.ones(3, 2, device=GPU))


def test_a_range_that_another_state_does_not_have_is_noticed_as_well():
    site = FakeQuantize("site", "node", SiteConfig(8, True, "gc", ObserverConfig(), None))
    untrained = deepcopy(site.state_dict())
    with some_gpu():
        site.to(GPU)(torch.ones(3, 2, device=GPU))
        site.eval()(torch.ones(3, 2, device=GPU))
        site.load_state_dict(untrained)
        with pytest.raises(ValueError, match="has not seen any data"):
            site(torch.ones(3, 2, device=GPU))


def hard_rows() -> torch.Tensor:
    """Ties, what no code reaches, NaN; more than one block of a kernel: [150, 10]."""
    ties = (torch.arange(-300, 300) + 0.5) * 0.1
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0, 3.4e38, -3.4e38, 1e-45, 2.0**22 + 1])
    return torch.cat([ties, special, torch.randn(1500 - 608) * 5]).view(150, 10)


@pytest.mark.parametrize("scale", [0.25, 0.1])
@pytest.mark.parametrize(
    ("zero_point", "bits", "signed"), [(0, 8, True), (-8, 4, True), (255, 8, False), (1, 2, False)]
)
def test_hard_values_are_rounded_as_on_the_host(scale, zero_point, bits, signed):
    x, protect = hard_rows(), torch.rand(150) < 0.2
    here = Grid(float(torch.tensor(scale)), zero_point, bits, signed)
    for mask in (None, protect):
        expected = round_onto(x, here, mask)
        with some_gpu():
            there = DeviceGrid(torch.tensor(scale).to(GPU), torch.tensor(zero_point).to(GPU), here.qmin, here.qmax)
            found = round_onto(x.to(GPU), there, None if mask is None else mask.to(GPU))
            torch.testing.assert_close(found.values.cpu(), expected.values, rtol=0, atol=0, equal_nan=True)
            assert torch.equal(found.passed.cpu(), torch.from_numpy(expected.passed).view(x.shape).bool())


@pytest.mark.parametrize(
    ("momentum", "special"), [(0.0, torch.nan), (0.1, torch.inf), (0.0, -torch.inf), (0.0, 7.5), (0.1, 7.5)]
)
@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_range_of_many_blocks_and_of_what_is_no_number(monkeypatch, momentum, special, share):
    monkeypatch.setattr(gpu, "BLOCK", 32)
    protect, how = torch.rand(150) < 0.2, {"left_out": Shares(share, share), "sample": 2000, "momentum": momentum}
    here, there = (torch.full((2,), torch.nan), torch.tensor(0)), (torch.full((2,), torch.nan), torch.tensor(0))
    rows = [torch.randn(150, 10) for _ in range(3)]
    rows[1][~protect, :1] = special
    for x in rows:
        follow(*here, x, protect, **how)
    with some_gpu():
        there = tuple(x.to(GPU) for x in there)
        for x in rows:
            follow(*there, x.to(GPU), protect.to(GPU), **how)
        torch.testing.assert_close(there[0].cpu(), here[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (0.0, 0.0), (-3.0, 0.0), (1e-30, 1e-30), (0.5, 900.0)])
@pytest.mark.parametrize("options", GRIDS, ids=lambda grid: list(grid)[-1])
def test_grids_are_those_of_the_host(bounds, options):
    site = FakeQuantize("site", "node", SiteConfig(4, gradient="gc", observer=ObserverConfig(), noise=None, **options))
    site.observer.range.copy_(torch.tensor(bounds))
    expected = grid_with_margin(*torch.tensor(bounds).tolist(), bits=4, **options)
    codes = torch.arange(-40, 40) / 2  # ties among them
    x = torch.cat([codes * expected.scale, torch.linspace(-2.0, 2.0, 200) * max(map(abs, bounds))])
    rounded = site.eval()(x)
    with some_gpu():
        site.to(GPU)
        found = site.device_grid()
        assert (float(found.scale), float(found.zero_point)) == (expected.scale, expected.zero_point)
        assert torch.equal(site(x.to(GPU)).cpu(), rounded)


def test_the_sum_for_a_step_is_that_of_the_host(monkeypatch):
    """Of numbers whose sums are exact, so that no order can matter; over more blocks than are added at a time."""
    monkeypatch.setattr(gpu, "BLOCK", 32)
    config = SiteConfig(4, True, "gc", ObserverConfig("minmax", "learned"), None)
    here = LearnedStep("site", "node", config)
    here.started, here.log_step.data = True, torch.tensor(0.0)
    there, x, upstream = deepcopy(here), torch.randint(-40, 40, (150, 10)) / 4, torch.randint(-3, 4, (150, 10)) / 2
    here(x.clone().requires_grad_()).backward(upstream)
    with some_gpu():
        there.to(GPU)
        there(x.to(GPU).requires_grad_()).backward(upstream.to(GPU))
        assert torch.equal(there.log_step.grad.cpu(), here.log_step.grad)
    assert here.log_step.grad != 0
