"""The graph of a forward pass, sorted by target once and shared by all layers."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from models.quantization.sparse import Pattern, SparseRows, row_pointers, stable_order

T = TypeVar("T")


class TensorCache:
    """Remembers what was derived from a tensor for as long as the tensor lives and is not written to.

    Nothing of tensors made in inference mode, of which torch does not know whether they are written to.
    """

    def __init__(self) -> None:
        self._entries: Any = WeakTensorKeyDictionary()

    def get(self, key: Tensor) -> Any:
        """The remembered value or None."""
        if key.is_inference():
            return None
        version, value = self._entries.get(key, (None, None))
        return value if version == key._version else None

    def put(self, key: Tensor, value: T) -> T:
        """Remembers and returns `value`."""
        if not key.is_inference():
            self._entries[key] = (key._version, value)
        return value


_GRAPHS, _FEATURES = TensorCache(), TensorCache()


class Incidence:
    """Which node each edge belongs to at one of its ends: the gather and the sum that are each other's adjoint.

    Just so: which graph of a batch each node belongs to.

    Shapes:
        index [E] int64; gather: [N, ...] -> [E, ...]; sum: [E, F] -> [N, F].
    """

    def __init__(self, index: Tensor, num_nodes: int) -> None:
        self.index, self.num_nodes = index, num_nodes

    @cached_property
    def pattern(self) -> Pattern:
        """[N, E] with a one where the edge belongs to the node."""
        order = stable_order(self.index, self.num_nodes)
        return Pattern(row_pointers(self.index[order], self.num_nodes), order, (self.num_nodes, self.index.numel()))

    @cached_property
    def counts(self) -> Tensor:
        """Number of edges of every node [N], int32."""
        return self.pattern.rowptr.diff()

    def gather(self, x: Tensor) -> Tensor:
        """The row of its node for every edge, differentiable."""
        return _Gather.apply(self, x)

    def sum(self, messages: Tensor) -> Tensor:
        """Sum over the edges of every node, differentiable."""
        return _Sum.apply(self, messages)

    def add_up(self, messages: Tensor) -> Tensor:
        """`sum` without autograd; any number of trailing dimensions."""
        columns = messages.reshape(messages.shape[0], math.prod(messages.shape[1:]))
        return self.pattern.add_up(columns).view(self.num_nodes, *messages.shape[1:])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incidence: Incidence, x: Tensor) -> Tensor:
        ctx.incidence = incidence
        return x.index_select(0, incidence.index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.incidence.add_up(gradient.contiguous())


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incidence: Incidence, messages: Tensor) -> Tensor:
        ctx.incidence = incidence
        return incidence.add_up(messages)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient.index_select(0, ctx.incidence.index)


class Graph:
    """Directed edges sorted by target (stable), with what layers derive from them, computed once.

    Shapes:
        source, target [E] int64.
    """

    def __init__(self, source: Tensor, target: Tensor, num_nodes: int) -> None:
        order = stable_order(target, num_nodes)
        self.source, self.target, self.num_nodes = source[order], target[order], num_nodes

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int) -> Graph:
        """The graph of `edge_index` [2, E] (source, target), remembered while that tensor lives.

        Raises:
            ValueError: if an edge names a node outside 0..num_nodes - 1.
        """
        known = _GRAPHS.get(edge_index)
        if known is not None and known.num_nodes == num_nodes:
            return known
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
            raise ValueError(f"edge_index: nodes must lie in 0..{num_nodes - 1} for {num_nodes} rows of features")
        return _GRAPHS.put(edge_index, cls(edge_index[0], edge_index[1], num_nodes))

    @cached_property
    def sources(self) -> Incidence:
        """Edges by the node they leave."""
        return Incidence(self.source, self.num_nodes)

    @cached_property
    def targets(self) -> Incidence:
        """Edges by the node they enter."""
        return Incidence(self.target, self.num_nodes)

    @cached_property
    def adjacency(self) -> Pattern:
        """[N, N]: a one at (target, source)."""
        return Pattern(row_pointers(self.target, self.num_nodes), self.source, (self.num_nodes, self.num_nodes))

    @cached_property
    def with_self_loops(self) -> Graph:
        """The same graph with every node's self-loops replaced by exactly one."""
        other = self.source != self.target
        loops = torch.arange(self.num_nodes, device=self.source.device)
        return Graph(torch.cat([self.source[other], loops]), torch.cat([self.target[other], loops]), self.num_nodes)

    @cached_property
    def inverse_sqrt_degree(self) -> Tensor:
        """d_i^-1/2 [N] with d the number of edges into i; 0 for a node without."""
        degree = torch.bincount(self.target, minlength=self.num_nodes).float()
        return torch.where(degree > 0, 1.0 / degree.sqrt(), torch.zeros_like(degree))

    @cached_property
    def symmetric_norm(self) -> Tensor:
        """d_source^-1/2 d_target^-1/2 of every edge [E] (Kipf & Welling 2017)."""
        factor = self.inverse_sqrt_degree
        return factor[self.source] * factor[self.target]

    @cached_property
    def _neighbourhoods(self) -> TensorCache:
        return TensorCache()

    def neighbourhood(self, pattern: Pattern) -> Neighbourhood:
        """How sparse rows on `pattern` add up over neighbours; remembered while the pattern lives."""
        known = self._neighbourhoods.get(pattern.cols)
        return known or self._neighbourhoods.put(pattern.cols, Neighbourhood(self, pattern))


class Neighbourhood:
    """Sum aggregation of sparse rows: the pattern of (A + I) X and the linear maps onto its entries.

    Attributes:
        pattern: union of a node's own stored entries and those of its in-neighbours.
        positions: position in `pattern` of every entry of X.
        contributions: [nnz of `pattern`, nnz of X], a one where an entry of X adds to an entry of A X.
    """

    def __init__(self, graph: Graph, features: Pattern) -> None:
        num_nodes, width = features.shape
        edge, entry = entries_sent(graph, features)
        stored = features.rows * width + features.cols  # cells of the matrix, numbered row by row
        received = graph.target[edge] * width + features.cols[entry]
        cells, position = torch.unique(torch.cat([stored, received]), return_inverse=True)
        self.positions, received_at = position.tensor_split([stored.numel()])
        self.pattern = Pattern(row_pointers(cells // width, num_nodes), cells % width, features.shape)
        self.contributions = one_per_pair(received_at, entry, (cells.numel(), features.cols.numel()))


def entries_sent(graph: Graph, features: Pattern) -> tuple[Tensor, Tensor]:
    """Lists every stored entry of every edge's source row, edge by edge: numbers of the edges and of the entries."""
    per_row = features.rowptr.diff().long()
    per_edge = per_row[graph.source]
    edge = torch.repeat_interleave(torch.arange(len(per_edge), device=per_edge.device), per_edge)
    first_of_edge = per_edge.cumsum(0) - per_edge  # where in the list an edge begins
    first_of_row = features.rowptr[:-1].long()[graph.source]
    entry = torch.arange(edge.numel(), device=edge.device) + (first_of_row - first_of_edge)[edge]
    return edge, entry


def one_per_pair(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Pattern:
    """The pattern with an entry at every (row, column); those of a row stay in the order given."""
    order = torch.argsort(rows, stable=True)
    return Pattern(row_pointers(rows[order], shape[0]), columns[order], shape)


def graphs_of(batch: Tensor | None, num_graphs: int | None, x: Tensor) -> Incidence:
    """The graph of every row of `x`, from its number [N]; None: all are of one graph.

    Raises:
        ValueError: if a number is negative or not below `num_graphs`, or there are not as many as rows.
    """
    rows = x.shape[0]
    if batch is None:
        return Incidence(torch.zeros(rows, dtype=torch.int64, device=x.device), 1)
    first, last = (int(batch.min()), int(batch.max())) if batch.numel() else (0, -1)
    graphs = last + 1 if num_graphs is None else num_graphs
    if batch.numel() != rows or first < 0 or last >= graphs:
        raise ValueError(f"batch: expected {rows} numbers of graphs, from 0 to {graphs - 1}: one for each row of x")
    return Incidence(batch, graphs)


def features_of(x: Tensor) -> Tensor | SparseRows:
    """Sparse CSR features as `SparseRows` (remembered while the tensor lives); dense ones as they are."""
    if x.layout != torch.sparse_csr:
        return x
    return _FEATURES.get(x) or _FEATURES.put(x, SparseRows.from_tensor(x))
