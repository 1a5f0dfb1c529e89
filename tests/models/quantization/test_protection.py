"""Degrees to probabilities, and the masks drawn from them."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.quantization.protection import Protection, degree_cdf, in_degree
from tests.fake_gpu import GPU, fake_gpu, host_waits


class Largest(TorchDispatchMode):
    """Notes the number of entries of the largest tensor that ops return."""

    entries = 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        result = op(*args, **(kwargs or {}))
        self.entries = max([self.entries, *(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))])
        return result


def test_in_degree_does_not_count_self_loops():
    assert in_degree(torch.tensor([[0, 1, 1, 2], [1, 1, 2, 1]]), 4).tolist() == [0, 2, 1, 0]


def test_degree_cdf_is_the_share_of_nodes_of_at_most_that_in_degree(random_edges):
    edges = random_edges(60, 300)
    degree = [sum(1 for s, t in edges.T.tolist() if t == i and s != t) for i in range(60)]
    expected = [sum(d <= degree[i] for d in degree) / 60 for i in range(60)]
    assert torch.equal(degree_cdf(edges, 60), torch.tensor(expected))


def test_degree_cdf_by_hand():
    """In-degrees 2, 1, 1, 0, 0 (the self-loop of node 4 does not count; direction does)."""
    edges = torch.tensor([[1, 2, 0, 0, 4], [0, 0, 1, 2, 4]])
    torch.testing.assert_close(degree_cdf(edges, 5), torch.tensor([1.0, 0.8, 0.8, 0.4, 0.4]))


@pytest.mark.parametrize("num_nodes", [0, 1, 7])
def test_without_edges_all_nodes_are_on_top(num_nodes):
    cdf = degree_cdf(torch.empty(2, 0, dtype=torch.int64), num_nodes)
    assert torch.equal(cdf, torch.ones(num_nodes))


def test_degree_cdf_of_many_graphs_is_that_of_each(random_edges):
    sizes = [7, 1, 30, 12]
    parts = [random_edges(size, 4 * size) for size in sizes]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    graph = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    joined = torch.cat([part + start for part, start in zip(parts, starts, strict=True)], dim=1)
    alone = torch.cat([degree_cdf(part, size) for part, size in zip(parts, sizes, strict=True)])
    assert torch.equal(degree_cdf(joined, sum(sizes), graph), alone)


def test_graphs_may_come_in_any_order():
    """In-degrees of nodes 0, 2, 4 of graph 2 are 1, 2, 0; of nodes 1, 3 of graph 0 they are 1, 0."""
    graph = torch.tensor([2, 0, 2, 0, 2])
    edges = torch.tensor([[2, 0, 4, 3], [0, 2, 2, 1]])
    assert torch.equal(degree_cdf(edges, 5, graph), torch.tensor([2 / 3, 1.0, 1.0, 1 / 2, 1 / 3]))


def test_degrees_do_not_make_the_host_wait_for_a_gpu(random_edges):
    edges, graph = random_edges(12, 40), torch.arange(12) // 4
    with fake_gpu():
        there = edges.to(GPU), graph.to(GPU)
        with host_waits() as waits:
            found = degree_cdf(there[0], 12, there[1])
        assert not waits
        assert torch.equal(found.cpu(), degree_cdf(edges, 12, graph))


def test_one_node_of_high_degree_among_many_graphs_takes_no_memory_of_every_graph():
    """100,000 graphs of one node; in another a node of in-degree 20,000: a table of both would have 16 GB."""
    graphs, degree = 100_000, 20_000
    graph = torch.cat([torch.arange(graphs), torch.full((degree + 1,), graphs)])
    edges = torch.stack([graphs + 1 + torch.arange(degree), torch.full((degree,), graphs)])
    largest = Largest()
    with largest:
        cdf = degree_cdf(edges, len(graph), graph)
    assert largest.entries < 10**6
    assert torch.equal(cdf[: graphs + 1], torch.ones(graphs + 1))
    assert torch.equal(cdf[graphs + 1 :], torch.full((degree,), degree / (degree + 1)))


def frequencies_fit(masks: torch.Tensor, probability: torch.Tensor) -> bool:
    """Whether every frequency over the rows of `masks` lies within five deviations of its probability."""
    deviation = (probability * (1 - probability) / len(masks)).sqrt()
    return bool(((masks.float().mean(0) - probability).abs() <= 5 * deviation + 1e-6).all())


@pytest.mark.parametrize(("p_min", "p_max"), [(0.0, 0.1), (0.1, 0.3), (0.2, 0.2), (0.0, 1.0)])
@pytest.mark.parametrize("shared", [False, True])
def test_nodes_are_drawn_as_often_as_their_degree_says(p_min, p_max, shared):
    cdf = torch.tensor([0.05, 0.3, 0.5, 0.8, 1.0])
    protection = Protection(p_min, p_max, shared=shared)
    masks = protection.draw(cdf.repeat(8000), 2)[1].view(8000, 5)
    assert frequencies_fit(masks, p_min + (p_max - p_min) * cdf)
    if p_min < p_max:
        assert not frequencies_fit(masks, p_min + (p_max - p_min) * cdf**2)
        assert not frequencies_fit(masks, torch.full((5,), p_max))


def test_layers_and_nodes_are_drawn_independently():
    """The product of two independent draws has the product of their probabilities."""
    draws = torch.stack(Protection(0.0, 0.5).draw(torch.ones(16_000), 2)).view(2, 2, 8000)
    for first, second in (((0, 0), (1, 0)), ((0, 0), (0, 1)), ((0, 1), (1, 0))):
        both = draws[first] & draws[second]
        assert frequencies_fit(both[:, None], torch.tensor([0.25]))


@pytest.mark.parametrize("shared", [False, True])
def test_one_mask_per_layer_or_one_for_all(shared):
    masks = Protection(0.0, 0.5, shared=shared).draw(torch.ones(1000), 3)
    assert [(mask.shape, mask.dtype) for mask in masks] == [((1000,), torch.bool)] * 3
    assert torch.equal(masks[0], masks[1]) is shared
    assert torch.equal(masks[1], masks[2]) is shared
    again = Protection(0.0, 0.5, shared=shared).draw(torch.ones(1000), 3)
    assert not torch.equal(masks[0], again[0])


def test_certain_and_impossible():
    cdf = torch.linspace(0.01, 1, 5000)
    assert torch.stack(Protection(1.0, 1.0).draw(cdf, 2)).all()
    assert not torch.stack(Protection(0.0, 0.0).draw(cdf, 2)).any()


@pytest.mark.parametrize(("p_min", "p_max"), [(-0.1, 0.5), (0.5, 0.4), (0.0, 1.1), (float("nan"), 0.5)])
def test_bounds(p_min, p_max):
    with pytest.raises(ValueError, match="expected 0 <= p_min <= p_max <= 1"):
        Protection(p_min, p_max)


def test_probabilities_are_state():
    scheduled = Protection(0.0, 0.1)
    scheduled.p_min.fill_(0.3)
    scheduled.p_max.fill_(0.6)
    resumed = Protection(0.0, 0.1)
    resumed.load_state_dict(scheduled.state_dict())
    assert (resumed.p_min.item(), resumed.p_max.item()) == (scheduled.p_min.item(), scheduled.p_max.item())
    assert resumed.initial == (0.0, 0.1)
