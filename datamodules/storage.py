"""Stores many graphs in a few tensors, so that a batch takes a few gathers and no Python object per graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch, Data

from datamodules.base import DataError
from models.quantization.protection import degree_cdf

PARTS = ("x", "edge_index", "y", "num_nodes", "num_edges", "degree_cdf", "edge_attr")


class GraphStore(Dataset[Batch]):
    """G graphs with N nodes and E edges in all.

    `build` makes a store from edges in any order. It sorts them by (target, source) within each graph, so the edges
    of a batch are sorted as well, and computes `degree_cdf` of every node once.

    Shapes:
        x [N, F] float32, or [N, 1] int64 where nodes have types; y [G] int64 or float32;
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
            DataError: for a graph without nodes, or an edge to a node that its graph does not have.
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
        """Returns the store of PyG graphs that have `x`, `edge_index` and a `y` of one number.

        Raises:
            DataError: if a graph lacks one of them; see also `build`.
        """
        for number, graph in enumerate(graphs):
            for part in ("x", "edge_index", "y"):
                if graph.get(part) is None:
                    raise DataError(f"{name}: graph {number} has no `{part}`: add it, for example by a transform")
            if graph.y.numel() != 1:
                raise DataError(f"{name}: graph {number} has {graph.y.numel()} targets: choose one by a transform")
        attributes = [graph.edge_attr for graph in graphs]
        return cls.build(
            name,
            x=torch.cat([graph.x for graph in graphs]),
            edge_index=torch.cat([graph.edge_index for graph in graphs], dim=1),
            y=torch.cat([graph.y.flatten() for graph in graphs]),
            num_nodes=torch.tensor([len(graph.x) for graph in graphs]),
            num_edges=torch.tensor([graph.edge_index.size(1) for graph in graphs]),
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


def offsets(counts: Tensor) -> Tensor:
    """Returns the position of each graph's first row, [G], if graph g has counts[g] rows."""
    return counts.cumsum(0) - counts


def ranges(first: Tensor, counts: Tensor) -> Tensor:
    """Returns first[0], first[0] + 1, ... (counts[0] numbers), then first[1], first[1] + 1, ..., and so on."""
    return torch.repeat_interleave(first - offsets(counts), counts) + torch.arange(int(counts.sum()))
