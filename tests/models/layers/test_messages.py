"""Messages formed, rounded and summed in one pass, against the same one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch_geometric.utils import softmax

from models.layers.graph import Graph
from models.layers.messages import form_messages, softmax_of_edges, sum_messages
from models.quantization.fused import parallel
from models.quantization.qconfig import NoiseConfig, ObserverConfig, QuantScheme
from models.quantization.sites import Sites

NODES, EDGES = 60, 700


def graph_with_a_hub() -> Graph:
    """Rows without edges, a hub, and edges in no order."""
    source, target = torch.randint(NODES, (2, EDGES))
    target[:200] = 7
    return Graph(source, target.clamp(max=NODES - 5), NODES)


def message_site(bits=8, **scheme):
    return Sites(QuantScheme("test", bits, **scheme))("message", "edge")


def one_after_the_other(graph, coefficient, h, site, protect, factor):
    messages = site(form_messages(graph, coefficient, h), protect)
    return graph.targets.sum((messages if factor is None else messages * factor[..., None]).flatten(1))


def test_the_softmax_of_edges_is_that_of_pyg_to_the_last_bit():
    graph = graph_with_a_hub()
    logits, factor = torch.randn(graph.target.numel(), 3, requires_grad=True), torch.randn(graph.target.numel(), 3)
    expected = softmax(logits, graph.target, num_nodes=NODES)
    got = softmax_of_edges(logits, graph)
    assert torch.equal(got, expected)
    gradients = (torch.autograd.grad((y * factor).sum(), logits)[0] for y in (got, expected))
    assert torch.equal(*gradients)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("gradient", ["ste", "gc"])
@pytest.mark.parametrize("observer", [ObserverConfig(), ObserverConfig("percentile", percentile=5.0)])
@pytest.mark.parametrize(("heads", "width"), [(1, 16), (1, 3), (4, 5)])
@pytest.mark.parametrize("masked", [False, True])
def test_one_pass_equals_one_after_the_other(masked, heads, width, observer, gradient, threads, monkeypatch):
    """Same codes, ranges and gradients; sums differ by the order of their terms."""
    monkeypatch.setattr(parallel, "ENTRIES_PER_THREAD", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    graph = graph_with_a_hub()
    edges = graph.source.numel()
    site = message_site(4, gradient=gradient, observer=observer)
    other = copy.deepcopy(site)
    for step in range(6):
        coefficient = torch.rand(edges, heads).requires_grad_()
        h = (torch.randn(NODES, heads * width) * (1.0 + 0.3 * step)).requires_grad_()
        protect = torch.rand(edges) < 0.3 if masked else None
        factor = (torch.rand(edges, heads) < 0.5) * 2.0 if step % 2 else None
        upstream = torch.randn(NODES, heads * width)
        got = sum_messages(graph, coefficient, h, site, protect=protect, factor=factor)
        expected = one_after_the_other(graph, coefficient, h, other, protect, factor)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        assert site.observer.bounds == other.observer.bounds
        for ours, theirs in zip(
            torch.autograd.grad(got, (coefficient, h), upstream),
            torch.autograd.grad(expected, (coefficient, h), upstream),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_every_message_lies_on_the_grid():
    """With one edge a node, the sum is the message."""
    graph = Graph(torch.randperm(NODES), torch.arange(NODES), NODES)
    site = message_site(4)
    coefficient, h = torch.rand(NODES, 1), torch.randn(NODES, 8)
    y = sum_messages(graph, coefficient, h, site)
    messages = form_messages(graph, coefficient, h).flatten(1)
    grid = site.grid()
    assert torch.equal(y, (site.codes(messages) - grid.zero_point) * torch.tensor(grid.scale))


@pytest.mark.parametrize("scheme", [QuantScheme(), QuantScheme("nqat", 8, noise=NoiseConfig())])
def test_pass_through_and_noisy_sites_see_every_message(scheme):
    graph = graph_with_a_hub()
    site = Sites(scheme)("message", "edge")
    seen = []
    site.register_forward_hook(lambda site, inputs, output: seen.append(output))
    coefficient, h = torch.rand(graph.source.numel(), 2), torch.randn(NODES, 6)
    y = sum_messages(graph, coefficient, h, site)
    torch.testing.assert_close(y, graph.targets.sum(seen[0].flatten(1)))


def test_a_graph_without_edges_sends_nothing():
    graph = Graph(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), 4)
    site = message_site()
    site.observer(torch.randn(10, 2))
    h = torch.randn(4, 6, requires_grad=True)
    y = sum_messages(graph, torch.empty(0, 1), h, site)
    y.sum().backward()
    assert y.abs().sum() == h.grad.abs().sum() == 0
