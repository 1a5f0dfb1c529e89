"""Products and sums that take dense and sparse features alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout

from models.layers.graph import Graph
from models.quantization.sparse import AnyFeatures, Features, SparseRows, sparse_matmul


def matmul(x: Features, weight: Tensor) -> Tensor:
    """x [N, F] times weight [F, F']."""
    return x.matmul(weight) if isinstance(x, SparseRows) else x @ weight


def scaled(x: AnyFeatures, factor: Tensor) -> AnyFeatures:
    """x times a factor that has the shape of its stored entries, or is a scalar."""
    return x.with_values(x.values * factor) if isinstance(x, SparseRows) else x * factor


def dropout_factor(x: Features, p: float, training: bool) -> Tensor | None:
    """What inverted dropout multiplies the stored entries of `x` with: 0 or 1 / (1 - p); None: nothing.

    Layers apply it behind the `inputs` site: dropout's factor 1 / (1 - p) would otherwise stretch the tracked
    range in training by values that evaluation never sees, and waste up to a bit of it.
    """
    if not training or p == 0.0:
        return None
    return dropout(torch.ones_like(x.values if isinstance(x, SparseRows) else x), p)


def drop(x: AnyFeatures, p: float, training: bool) -> AnyFeatures:
    """Inverted dropout on the stored entries."""
    factor = dropout_factor(x, p, training)
    return x if factor is None else scaled(x, factor)


def sum_neighbours(graph: Graph, x: AnyFeatures) -> AnyFeatures:
    """Row i: the sum of x over the sources of edges into i. Sparse rows give sparse rows on (A + I) X."""
    if isinstance(x, SparseRows):
        hood = graph.neighbourhood(x.pattern)
        values = sparse_matmul(hood.contributions, hood.contributions.ones, x.values[:, None])[:, 0]
        return SparseRows(hood.pattern, values)
    return sparse_matmul(graph.adjacency, graph.adjacency.ones, x)


def add_own(graph: Graph, own: AnyFeatures, neighbours: AnyFeatures) -> AnyFeatures:
    """own + neighbours, the latter from `sum_neighbours`."""
    if isinstance(own, SparseRows):
        position = graph.neighbourhood(own.pattern).own
        return neighbours.with_values(neighbours.values.index_add(0, position, own.values))
    return own + neighbours
