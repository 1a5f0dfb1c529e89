"""Pools and heads: per graph, in any order of nodes, and what is quantized."""

from __future__ import annotations

import pytest
import torch

from models.layers import Readout, ReadoutConfig
from models.layers.graph import Incidence, graphs_of
from models.layers.joins import pooled
from models.quantization.control import quantizers

BATCH = torch.tensor([2, 0, 2, 2, 0, 4])


@pytest.mark.parametrize("pool", ["mean", "sum"])
def test_pool_over_the_nodes_of_every_graph(pool):
    x = torch.randn(6, 3, requires_grad=True)
    got = pooled(x, Incidence(BATCH, 6), pool)
    rows = [x[g == BATCH] for g in range(6)]
    expected = torch.stack([r.sum(0) if pool == "sum" or not len(r) else r.mean(0) for r in rows])
    torch.testing.assert_close(got, expected)
    assert not got[[1, 3, 5]].any()
    upstream = torch.randn_like(got)
    (ours,) = torch.autograd.grad(got, x, upstream, retain_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, x, upstream)[0])


@pytest.mark.parametrize(("layers", "sites_of_the_sum"), [(1, []), (3, ["scores"])])
def test_the_sum_of_several_heads_has_a_site(layers, sites_of_the_sum, sites, spy, on_grid):
    signed = [True, False, False][:layers]
    readout = Readout(4, 2, sites("qat"), config=ReadoutConfig("sum", [5], every_layer=layers > 1), signed=signed)
    of_linear = ("inputs", "weights", "features")
    names = [f"heads.{i}.{j}.{name}" for i in range(layers) for j in (0, 1) for name in of_linear]
    assert [site.name for site in quantizers(readout)] == [*names, *sites_of_the_sum]
    assert {site.domain for site in quantizers(readout)} == {"graph", "parameter"}
    assert [head.linears[0].inputs.config.signed for head in readout.heads] == signed
    xs = [torch.randn(6, 4) for _ in range(layers)]
    seen = spy(readout, *xs, graphs=Incidence(BATCH, 5))
    torch.testing.assert_close(seen["heads.0.0.inputs"][0], pooled(xs[0], Incidence(BATCH, 5), "sum"))
    if layers > 1:
        before, after = seen["scores"]
        torch.testing.assert_close(before, sum(seen[f"heads.{i}.1.features"][1] for i in range(layers)))
        assert torch.equal(after, on_grid(readout.scores, before))


@pytest.mark.parametrize(
    ("batch", "num_graphs"), [(BATCH[:5], None), (BATCH, 4), (torch.tensor([0, 0, -1, 0, 0, 0]), None)]
)
def test_a_batch_that_does_not_fit_is_refused(batch, num_graphs):
    with pytest.raises(ValueError, match=r"^batch: (expected shape \[6\], one graph|graph -1 is none|graph 4 is none)"):
        graphs_of(batch, num_graphs, torch.zeros(6, 1))


def test_without_a_batch_all_nodes_are_one_graph():
    assert graphs_of(None, None, torch.zeros(6, 1)).counts.tolist() == [6]
    assert graphs_of(BATCH, None, torch.zeros(6, 1)).counts.tolist() == [2, 0, 3, 0, 1]
    assert graphs_of(BATCH[:0], None, torch.zeros(0, 1)).counts.tolist() == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"hidden": [4, 0]}, r"readout\.hidden: .* got \[4, 0\]"), ({"dropout": 1.0}, r"readout\.dropout: .* got 1\.0")],
)
def test_refused_settings(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ReadoutConfig(**settings)
