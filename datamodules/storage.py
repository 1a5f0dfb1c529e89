"""Stores many graphs in a few tensors, so that a batch takes a few gathers and no Python object per graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch, Data

from datamodules.errors import DataError
from datamodules.graph_checks import check_parts, described, first_not_finite, loops_and_repeats
from models.quantization.protection import degree_cdf

PARTS = ("x", "edge_index", "y", "num_nodes", "num_edges", "degree_cdf", "edge_attr")


class GraphStore(Dataset[Batch]):
    """G graphs with N nodes and E edges in all.

    `build` makes a store from edges in any order. It sorts them by (target, source) within each graph, so the edges
    of a batch are sorted as well, and computes `degree_cdf` of every node once.

    Shapes:
        x [N, F] float32, or [N, 1] int64 where nodes have types; y [G] int64 or float32, or [G, C] float32, where
        NaN is not known;
        edge_index [2, E], nodes count from 0 in each graph, int16 where that suffices, else int32;
        num_nodes, num_edges [G] int64; degree_cdf [N] float32; edge_attr [E, ...] float32 or None.
    """

    def __init__(
        self,
        *,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        num_nodes: Tensor,
        num_edges: Tensor,
        degree_cdf: Tensor,
        edge_attr: Tensor | None = None,
    ) -> None:
        self.x, self.edge_index, self.y, self.edge_attr = x, edge_index, y, edge_attr
        self.num_nodes, self.num_edges, self.degree_cdf = num_nodes, num_edges, degree_cdf
        self.first_node, self.first_edge = offsets(num_nodes), offsets(num_edges)

    @classmethod
    def build(
        cls,
        name: str,
        *,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        num_nodes: Tensor,
        num_edges: Tensor,
        edge_attr: Tensor | None = None,
    ) -> GraphStore:
        """Checks the graphs of the data set `name`, sorts their edges and returns their store.

        `edge_index` [2, E] int64 counts the nodes from 0 in each graph.

        Raises:
            DataError: for a graph without nodes, an edge to a node that its graph does not have, or a feature, target
                or attribute that is NaN or infinite.
        """
        if (num_nodes == 0).any():
            raise DataError(f"{name}: graph {int(num_nodes.argmin())} has no nodes: leave it out")
        graph = torch.repeat_interleave(num_edges)
        outside = ((edge_index < 0) | (edge_index >= num_nodes[graph])).any(0)
        if outside.any():
            edge = int(outside.int().argmax())
            source, target = edge_index[:, edge].tolist()
            raise DataError(
                f"{name}: graph {int(graph[edge])} has an edge from node {source} to {target}, "
                f"but its nodes are 0..{int(num_nodes[graph[edge]]) - 1}: correct it or leave it out"
            )
        one = y if y.dim() == 1 else None
        _check_finite(name, x=x, y=one, edge_attr=edge_attr, num_nodes=num_nodes, num_edges=num_edges)
        everywhere = edge_index + offsets(num_nodes)[graph]
        order = torch.from_numpy(np.lexsort(everywhere.numpy()))
        small = torch.int16 if int(num_nodes.max()) <= torch.iinfo(torch.int16).max else torch.int32
        return cls(
            x=x,
            edge_index=edge_index[:, order].to(small),
            y=y,
            num_nodes=num_nodes,
            num_edges=num_edges,
            degree_cdf=degree_cdf(everywhere, len(x), torch.repeat_interleave(num_nodes)),
            edge_attr=None if edge_attr is None else edge_attr[order],
        )

    @classmethod
    def of(cls, name: str, graphs: Sequence[Data]) -> GraphStore:
        """Returns the store of PyG graphs that have `x`, `edge_index` and a `y` of one number, or of C.

        Raises:
            DataError: if a graph lacks one of them; see also `build`.
        """
        if not len(graphs):
            raise DataError(f"{name}: there are no graphs")
        checked = [check_parts(name, f"graph {number}", graph) for number, graph in enumerate(graphs)]
        for number, graph in enumerate(checked):
            if graph.x.dim() != 2:
                raise DataError(f"{name}: graph {number}: `x` is {described(graph.x)}, expected shape [N, F]")
            if not isinstance(graph.y, Tensor) or graph.y.is_complex():
                raise DataError(f"{name}: graph {number}: `y` is {described(graph.y)}, expected a tensor of one number")
            check_row_alike(name, number, graph.y, checked[0].y)
            for part in ("x", "edge_attr"):
                _check_alike(name, part, number, graph=graph, first=checked[0])
        attributes = [graph.edge_attr for graph in checked]
        x, y = torch.cat([graph.x for graph in checked]), torch.stack([graph.y.flatten() for graph in checked])
        y = y[:, 0] if y.size(1) == 1 else y.float()
        return cls.build(
            name,
            x=x.float() if x.is_floating_point() or x.size(1) > 1 else x.long(),
            edge_index=torch.cat([graph.edge_index.long() for graph in checked], dim=1),
            y=y.float() if y.is_floating_point() else y.long(),
            num_nodes=torch.tensor([len(graph.x) for graph in checked]),
            num_edges=torch.tensor([graph.edge_index.size(1) for graph in checked]),
            edge_attr=None if any(part is None for part in attributes) else torch.cat(attributes),
        )

    @classmethod
    def joined(cls, stores: Sequence[GraphStore]) -> GraphStore:
        """Returns a store with the graphs of several, one store after the other."""
        columns: dict[str, Any] = {}
        for part in stores[0].tensors():
            parts = [getattr(store, part) for store in stores]
            columns[part] = torch.cat(parts, dim=1 if part == "edge_index" else 0)
        return cls(**columns)

    def tensors(self) -> dict[str, Tensor]:
        """Returns all tensors by name; `GraphStore(**tensors)` is the same store."""
        parts: Mapping[str, Any] = {part: getattr(self, part) for part in PARTS}
        return {part: value for part, value in parts.items() if value is not None}

    def consistent(self) -> bool:
        """Returns whether the tensors fit together, as those that `build` made do; a file may hold any."""
        nodes, edges = int(self.num_nodes.sum()), int(self.num_edges.sum())
        attributes = self.edge_attr is None or len(self.edge_attr) == edges
        if len({len(self.y), len(self.num_nodes), len(self.num_edges)}) > 1 or not attributes:
            return False
        if (len(self.x), len(self.degree_cdf), tuple(self.edge_index.shape)) != (nodes, nodes, (2, edges)):
            return False
        if int(self.num_nodes.min()) < 1 or int(self.num_edges.min()) < 0:
            return False
        size = torch.repeat_interleave(self.num_nodes, self.num_edges)
        return bool(((self.edge_index >= 0) & (self.edge_index < size)).all())

    def loops_and_repeats(self) -> str:
        """Returns in a sentence how many self-loops and repeated edges there are, and what they do; empty if none."""
        return loops_and_repeats(self.edge_index + torch.repeat_interleave(self.first_node, self.num_edges))

    def __len__(self) -> int:
        """Returns the number of graphs G."""
        return len(self.num_nodes)

    # Loaders run in the trainer's mode; caches keyed on tensors need their version counters.
    @torch.inference_mode(mode=False)
    def __getitem__(self, graphs: Tensor) -> Batch:
        """Returns a batch of the graphs with these numbers [B], in this order; edges by (target, source)."""
        num_nodes, num_edges = self.num_nodes[graphs], self.num_edges[graphs]
        first_node = offsets(num_nodes)
        nodes = ranges(self.first_node[graphs], num_nodes)
        edges = ranges(self.first_edge[graphs], num_edges)
        offset = torch.repeat_interleave(first_node, num_edges)
        batch = Batch(
            x=self.x.index_select(0, nodes),
            edge_index=self.edge_index.index_select(1, edges) + offset,
            y=self.y[graphs],
            degree_cdf=self.degree_cdf.index_select(0, nodes),
            batch=torch.repeat_interleave(num_nodes),
            ptr=torch.cat([first_node, num_nodes.sum().view(1)]),
        )
        if self.edge_attr is not None:
            batch.edge_attr = self.edge_attr.index_select(0, edges)
        return batch


def check_row_alike(name: str, number: int, y: Tensor, first: Tensor) -> None:
    """Checks that the targets of a graph are one row, [C] or [1, C], of as many as the first graph has."""
    if y.dim() > 2 or (y.dim() == 2 and len(y) != 1) or not y.numel():
        raise DataError(f"{name}: graph {number}: `y` is {described(y)}, expected one row for the graph, [1, C] or [C]")
    if y.numel() != first.numel():
        raise DataError(f"{name}: graph {number} has {y.numel()} targets, graph 0 has {first.numel()}")


def _check_alike(name: str, part: str, number: int, *, graph: Data, first: Data) -> None:
    """Checks that features or attributes of edges can be put below those of the first graph."""
    value, other = graph.get(part), first.get(part)
    if value is None or other is None:  # attributes that some graphs lack are left out
        return
    rows = len(graph.x) if part == "x" else graph.edge_index.size(1)
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.dim() == 0 or len(value) != rows:
        raise DataError(f"{name}: graph {number}: `{part}` is {described(value)}, expected {rows} rows, dense")
    if value.shape[1:] != other.shape[1:]:
        raise DataError(
            f"{name}: graph {number}: `{part}` is {described(value)}, that of graph 0 {described(other)}: "
            "all graphs need the same columns"
        )


def _check_finite(
    name: str, *, x: Tensor, y: Tensor | None, edge_attr: Tensor | None, num_nodes: Tensor, num_edges: Tensor
) -> None:
    """Refuses NaN and infinity; a number beyond float32 became an infinity when it was converted."""
    for part, values, of, counts in (
        ("x", x, "node", num_nodes),
        ("y", y, "", None),
        ("edge_attr", edge_attr, "edge", num_edges),
    ):
        if values is None or (fault := first_not_finite(values)) is None:
            continue
        row, value = fault
        place = f"graph {row}" if counts is None else place_of(row, counts, of)
        raise DataError(
            f"{name}: {place}: `{part}` is {value} in {described(values).split()[0]}: correct it or leave the graph out"
        )


def place_of(row: int, counts: Tensor, what: str) -> str:
    """Returns `graph 3 node 2` for a row of a table in which graph g has counts[g] rows, each a `what`."""
    graph = int(torch.searchsorted(counts.cumsum(0), row, right=True))
    return f"graph {graph} {what} {row - int(offsets(counts)[graph])}"


def offsets(counts: Tensor) -> Tensor:
    """Returns the position of each graph's first row, [G], if graph g has counts[g] rows."""
    return counts.cumsum(0) - counts


def ranges(first: Tensor, counts: Tensor) -> Tensor:
    """Returns first[0], first[0] + 1, ... (counts[0] numbers), then first[1], first[1] + 1, ..., and so on."""
    return torch.repeat_interleave(first - offsets(counts), counts) + torch.arange(int(counts.sum()))
