"""Graphs with everything that is awkward, stock layers to compare with, and a look into the sites."""

from __future__ import annotations

import pytest
import torch

from app.engine.program.grid import dequantize
from models.layers.graph import Graph, features_of
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.sites import Sites

NODES = 40


@pytest.fixture(params=["awkward", "no_edges", "only_self_loops", "one_way"])
def edges(request, random_edges) -> torch.Tensor:
    """Edges [2, E] on 40 nodes."""
    nodes = torch.arange(NODES)
    return {
        "awkward": lambda: random_edges(NODES, 200),
        "no_edges": lambda: torch.empty(2, 0, dtype=torch.int64),
        "only_self_loops": lambda: torch.stack([nodes, nodes]).repeat(1, 2),
        "one_way": lambda: torch.stack([nodes[1:], nodes[:-1]]),
    }[request.param]()


@pytest.fixture
def graph(random_edges) -> Graph:
    """Self-loops, multi-edges, isolated nodes."""
    return Graph.of(random_edges(NODES, 200), NODES)


@pytest.fixture
def sites(make_scheme):
    """sites("qat", 8) -> the sites of a layer under that scheme."""
    return lambda name, bits=8, **changes: Sites(make_scheme(name, bits, **changes))


@pytest.fixture
def same_as():
    """same_as(ours, theirs, edges, pairs): equal values, gradients of x and of all (parameter, peer) pairs.

    A pair may be (ours, theirs, map): `map` brings the peer's gradient into the shape of ours.
    """

    def check(ours, theirs, edges, pairs, width=12):
        x = torch.randn(NODES, width)
        mine, peers = (x.clone().requires_grad_() for _ in range(2))
        got, expected = ours(mine, Graph.of(edges, NODES)), theirs(peers, edges)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        upstream = torch.randn_like(expected)
        got.backward(upstream)
        expected.backward(upstream)
        torch.testing.assert_close(mine.grad, peers.grad, rtol=1e-4, atol=1e-5)
        assert {id(parameter) for parameter, *_ in pairs} == {id(parameter) for parameter in ours.parameters()}
        for parameter, peer, bring in pairs:
            torch.testing.assert_close(parameter.grad, bring(peer.grad), rtol=1e-4, atol=1e-4)

    return check


@pytest.fixture
def sparse_as_dense(bag_of_words):
    """sparse_as_dense(layer, edges, share): CSR features give what dense ones give, value and gradients.

    `share` of the entries may differ: sums in another order may round to a neighbouring code.
    """

    def check(layer, edges, share=0.0, width=12):
        dense = bag_of_words(NODES, width, density=0.3)
        leaf = dense.clone().requires_grad_()
        rows = features_of(dense.to_sparse_csr())
        rows.values.requires_grad_()
        graph = Graph.of(edges, NODES)
        results = []
        for x in (leaf, rows):
            layer.zero_grad()
            torch.manual_seed(3)
            y = layer(x, graph)
            y.backward(torch.randn_like(y))
            results.append([y.detach()] + [p.grad.clone() for p in layer.parameters()])
        stored = leaf.grad[rows.pattern.rows, rows.pattern.cols.long()]
        for expected, got in [*zip(*results, strict=True), (stored, rows.values.grad)]:
            assert expected.shape == got.shape
            far = ~torch.isclose(got, expected, rtol=1e-4, atol=1e-5)
            assert far.float().mean() <= share

    return check


@pytest.fixture
def spy():
    """spy(layer, *arguments, **named) -> {site name: (input, output)} of one forward, inputs and outputs dense."""

    def run(layer, *arguments, **named):
        seen = {}
        hooks = [
            site.register_forward_hook(lambda site, inputs, output: seen.update({site.name: (inputs[0], output)}))
            for site in layer.modules()
            if isinstance(site, FakeQuantize)
        ]
        layer(*arguments, **named)
        for hook in hooks:
            hook.remove()
        return seen

    return run


@pytest.fixture
def on_grid():
    """on_grid(site, x) -> the values of the codes of x at the site."""

    def values(site, x):
        grid = site.grid()
        return dequantize(site.codes(x).float(), grid.scale, grid.zero_point)

    return values


@pytest.fixture
def check_masks(spy, on_grid, monkeypatch):
    """check_masks(layer, graph, protect, masks): which rows each site keeps in FP32 and lets its tracker see.

    `masks` names for every site the mask [rows] it must follow; None: it must quantize everything. Messages are
    formed one by one here, so that their site can be watched; `test_messages` has the fused way equal to this one.
    """

    def check(layer, graph, protect, masks, width=12):
        monkeypatch.setattr("models.layers.messages.has_kernels", lambda x: False)
        x = torch.randn(NODES, width)
        seen = spy(layer.train(), x, graph, protect)
        sites = {site.name: site for site in layer.modules() if isinstance(site, FakeQuantize)}
        assert set(masks) == set(sites) == set(seen)
        for name, mask in masks.items():
            before, after = seen[name]
            keep = torch.zeros(len(before), dtype=torch.bool) if mask is None else mask
            assert torch.equal(after[keep], before[keep]), name
            assert torch.equal(after[~keep], on_grid(sites[name], before[~keep])), name
            assert not torch.equal(after[~keep], before[~keep]), name
            lo, hi = before[~keep].aminmax()
            assert sites[name].observer.bounds == (min(lo.item(), 0.0), max(hi.item(), 0.0)), name

    return check


@pytest.fixture
def protect() -> torch.Tensor:
    """About a third of the nodes."""
    return torch.rand(NODES) < 0.3
