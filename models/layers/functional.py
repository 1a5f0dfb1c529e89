"""Functions on features that may be dense or sparse: sums over neighbours, dropout."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch_geometric.utils import scatter

from models.layers.evaluation.rounded_rows import RoundedRows
from models.layers.graph import Graph
from models.quantization.sparse import AnyFeatures, Features, SparseRows, sum_rows


def scaled(x: AnyFeatures, factor: Tensor) -> AnyFeatures:
    """Multiplies the stored entries of x by a factor of their shape, or by a scalar."""
    return x.with_values(x.values * factor) if isinstance(x, SparseRows) else x * factor


def dropout_factor(x: Features, p: float, *, training: bool) -> Tensor | None:
    """Draws the factors of inverted dropout, 0 or 1 / (1 - p), for the stored entries of `x`; None: no dropout.

    Layers apply them behind the `inputs` site. Before it, the factor 1 / (1 - p) would widen the range tracked in
    training by values that evaluation never sees, and waste up to one bit.
    """
    if not training or p == 0.0:
        return None
    return dropout(torch.ones_like(x.values if isinstance(x, SparseRows) else x), p)


def drop(x: AnyFeatures, p: float, *, training: bool) -> AnyFeatures:
    """Applies inverted dropout to the stored entries of `x`."""
    factor = dropout_factor(x, p, training=training)
    return x if factor is None else scaled(x, factor)


@overload
def sum_neighbours(graph: Graph, x: RoundedRows) -> Tensor: ...
@overload
def sum_neighbours(graph: Graph, x: AnyFeatures) -> AnyFeatures: ...
def sum_neighbours(graph: Graph, x: Any) -> Any:
    """Sums x over in-neighbours: row i is the sum over the sources of edges into i. Sparse rows give sparse rows, with
    the pattern of (A + I) X.
    """
    if isinstance(x, RoundedRows):
        return x.add_up(graph.adjacency)
    if isinstance(x, SparseRows):
        neighbourhood = graph.neighbourhood(x.pattern)
        return SparseRows(neighbourhood.pattern, sum_rows(neighbourhood.contributions, x.values[:, None])[:, 0])
    return sum_rows(graph.adjacency, x)


def mean_neighbours(graph: Graph, x: Any) -> Any:
    """Row i: the mean of x over the sources of edges into i, 0 where there is none; sparse rows as `sum_neighbours`."""
    total, factor = sum_neighbours(graph, x), graph.inverse_degree
    if isinstance(total, SparseRows):
        return total.with_values(total.values * factor[total.pattern.rows])
    return total * factor[:, None]


def max_neighbours(graph: Graph, x: Tensor | RoundedRows) -> Tensor:
    """Row i: the largest entry of each column of x over the sources of edges into i, 0 where there is none."""
    sent = x.read(graph.source) if isinstance(x, RoundedRows) else graph.sources.gather(x)
    largest: Tensor = scatter(sent, graph.target, dim_size=graph.num_nodes, reduce="max")
    return largest


def add_neighbour_sum(graph: Graph, x: AnyFeatures, sent: AnyFeatures, neighbour_sum: AnyFeatures) -> AnyFeatures:
    """Returns x + neighbour_sum, where the latter comes from `sum_neighbours` of `sent`, rows with the pattern of x."""
    if isinstance(x, SparseRows):
        positions = graph.neighbourhood(sent.pattern).positions
        return neighbour_sum.with_values(neighbour_sum.values.index_add(0, positions, x.values))
    return x + neighbour_sum
