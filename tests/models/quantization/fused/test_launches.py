"""How often a site waits for a GPU and launches something there, counted on a fake one; see `tests.fake_gpu`.

Not where there is a GPU: kernels are compiled there, and can take no address of a fake tensor.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.quantization.fake_quantize import FakeQuantize
from models.quantization.fused import gpu
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import ObserverConfig, SiteConfig
from tests.fake_gpu import GPU, fake_gpu, host_waits

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which is none of a fake tensor's")


@pytest.fixture(params=["torch", "triton"])
def way(request, monkeypatch):
    """Plain ops of torch, or the kernels."""
    if request.param == "triton":
        pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    monkeypatch.setattr(gpu, "compiles", lambda: request.param == "triton")
    return request.param


@pytest.mark.parametrize("accumulation", ["running", "momentum", "learned"])
@pytest.mark.parametrize("observing", [True, False])
def test_a_steady_step_reads_nothing_from_the_device(accumulation, observing, way):
    config = SiteConfig(8, signed=True, gradient="gc", observer=ObserverConfig("percentile", accumulation), noise=None)
    site = (LearnedStep if accumulation == "learned" else FakeQuantize)("site", "node", config)
    with fake_gpu():
        site.to(GPU)
        x, protect = torch.randn(50, 8, device=GPU, requires_grad=True), torch.rand(50, device=GPU) < 0.2
        site(x, protect)
        site.observing = observing
        with host_waits() as waits:
            site(x * 2.0, protect).sum().backward()
    assert not waits


class Launching(TorchDispatchMode):
    """Notes the ops of ours that launch kernels, and sorts."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        space, name = op._schema.name.split("::")
        self.seen += [name] if space == "degree_quant" or name == "sort" else []
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize("way", ["triton"], indirect=True)
@pytest.mark.parametrize(("statistic", "follows"), [("minmax", "follow_ends"), ("percentile", "follow_order")])
def test_a_site_takes_few_launches(statistic, follows, way):
    percentile = 1.0 if statistic == "percentile" else None
    observer = ObserverConfig(statistic, percentile=percentile)
    site = FakeQuantize("site", "node", SiteConfig(8, True, "gc", observer, None))
    with fake_gpu():
        site.to(GPU)
        x = torch.randn(50, 8, device=GPU)
        with Launching() as first:
            site(x)
        site.observing = False
        with Launching() as frozen:
            site(x)
        with Launching() as evaluated:
            site.eval()(x)
    assert first.seen == [follows, "round_in_range"]
    assert frozen.seen == evaluated.seen == ["round_in_range"]
