"""Draws the nodes that Degree-Quant protects: the probability grows with in-degree."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def in_degree(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Returns the number of edges into each node [N], self-loops not counted.

    Shapes:
        edge_index [2, E] (source, target).
    """
    source, target = edge_index
    counts = torch.zeros(num_nodes, dtype=torch.int64, device=target.device)
    return counts.scatter_add_(0, target.long(), (source != target).long())


def degree_cdf(edge_index: Tensor, num_nodes: int, graph: Tensor | None = None) -> Tensor:
    """Returns the cumulative distribution of in-degrees, F(d_i) = |{j : d_j <= d_i}| / N, at each node's in-degree d_i.

    j runs over the N nodes of i's graph; self-loops do not count. Nodes of equal degree share a value, and those of the
    highest degree in a graph get exactly 1. Memory is linear in nodes and edges.

    Args:
        graph: the graph of each node; None: there is only one.

    Shapes:
        edge_index [2, E] (source, target); graph [N]; result [N], float32, in (0, 1].
    """
    degree = in_degree(edge_index, num_nodes)
    first, size = torch.zeros_like(degree), torch.full_like(degree, num_nodes)
    if graph is not None:  # no size here depends on values, which a GPU would have to tell
        graphs = graph.sort().values
        first = torch.searchsorted(graphs, graph)
        size = torch.searchsorted(graphs, graph, right=True) - first
    key = first * (edge_index.shape[1] + 1) + degree
    at_most = torch.searchsorted(key.sort().values, key, right=True) - first
    return at_most / size


class Protection(nn.Module):
    """Draws the nodes kept in FP32: m_i ~ Bernoulli(p_min + (p_max - p_min) F(d_i)) (Tailor et al. 2021, section 3.2).

    `p_min` and `p_max` are buffers, so that a schedule can move them and a checkpoint restores them.

    Raises:
        ValueError: unless 0 <= p_min <= p_max <= 1.
    """

    def __init__(self, p_min: float, p_max: float, *, shared: bool = False) -> None:
        super().__init__()
        check_probabilities(p_min, p_max)
        self.p_min: Tensor
        self.p_max: Tensor
        self.register_buffer("p_min", torch.tensor(p_min))
        self.register_buffer("p_max", torch.tensor(p_max))
        self.initial = (p_min, p_max)
        self.shared = shared

    def draw(self, cdf: Tensor, layers: int) -> list[Tensor]:
        """Returns a boolean mask [N] for each layer: drawn for each, or once for all if `shared`.

        Args:
            cdf: of in-degrees [N] (see `degree_cdf`).
        """
        probability = self.p_min + (self.p_max - self.p_min) * cdf
        rows = torch.rand(1 if self.shared else layers, cdf.numel(), device=cdf.device) < probability
        return list(rows.expand(layers, -1))


def check_probabilities(p_min: float, p_max: float) -> None:
    """Raises ValueError unless 0 <= p_min <= p_max <= 1."""
    if not 0.0 <= p_min <= p_max <= 1.0:
        raise ValueError(f"protection: expected 0 <= p_min <= p_max <= 1, got p_min={p_min}, p_max={p_max}")
