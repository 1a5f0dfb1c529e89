"""Transforms of PyG graphs; each returns a changed copy and leaves its argument as it is.

They can be used as `transform` or `pre_transform` of any PyG dataset.
"""

from __future__ import annotations

from copy import copy

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import sort_edge_index

from datamodules.graph_checks import MASKS
from datamodules.storage import ranges
from models.quantization.protection import degree_cdf


def sort_edges(data: Data) -> Data:
    """Sorts edge_index [2, E], and edge_attr [E, ...] and edge_weight [E] if they are there, by (target, source)."""
    result = copy(data)
    parts = [part for part in ("edge_attr", "edge_weight") if data.get(part) is not None]
    result.edge_index, values = sort_edge_index(
        data.edge_index, [data[part] for part in parts], num_nodes=data.num_nodes, sort_by_row=False
    )
    return result.update(dict(zip(parts, values, strict=True)))


def attach_degree_cdf(data: Data) -> Data:
    """Adds `degree_cdf` [N]: for each node, the share of nodes whose in-degree is not larger."""
    result = copy(data)
    result.degree_cdf = degree_cdf(data.edge_index, data.num_nodes)
    return result


def normalize_rows(data: Data) -> Data:
    """Divides each row of the features `x` [N, F], sparse CSR or dense, by its sum; rows with sum 0 stay.

    Sums are formed in float64 from the first column on and rounded to float32, as the engine's `row_normalize` does.
    """
    if data.x.layout == torch.strided:
        result, (rows, columns) = copy(data), data.x.nonzero(as_tuple=True)
        result.x = data.x / _divisors(rows, data.x[rows, columns], len(data.x))[:, None]
        return result
    values, counts = data.x.values(), data.x.crow_indices().diff().long()
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return _with_values(data, values / _divisors(rows, values, len(counts))[rows])


def _divisors(rows: Tensor, values: Tensor, count: int) -> Tensor:
    """Returns the sum of every row's values [count] float32, 1 where it is 0; those of a row are added in order."""
    sums = np.bincount(rows.numpy(), values.numpy(), minlength=count)  # one after the other, in float64
    with np.errstate(over="ignore"):
        totals = torch.from_numpy(sums.astype(np.float32))
    return torch.where(totals == 0, 1.0, totals)


def binary_features(data: Data) -> Data:
    """Sets every stored entry of the sparse CSR features `x` to one: word counts become word presence."""
    return _with_values(data, torch.ones_like(data.x.values()))


def nodes_alone(data: Data, mask: Tensor) -> Data:
    """Returns the nodes [N] bool of a mask with the edges among them, numbered anew; x is dense or sparse CSR."""
    inside = mask[data.edge_index].all(0).nonzero().flatten()
    return part_of(data, mask.nonzero().flatten(), inside, mask.cumsum(0) - 1)


def part_of(data: Data, nodes: Tensor, edges: Tensor, numbers: Tensor) -> Data:
    """Returns a part of a graph: some nodes, in this order, and edges among them; x is dense or sparse CSR.

    Shapes:
        nodes [n], edges [e]: their numbers in the graph; numbers [N]: those of the nodes in the part.
    """
    result = copy(data)
    result.edge_index = numbers[data.edge_index[:, edges]]
    result.x = _rows_of(data.x, nodes)
    for parts, rows in (("y", *MASKS, "degree_cdf"), nodes), (("edge_attr", "edge_weight"), edges):
        for part in parts:
            if data.get(part) is not None:
                result[part] = data[part][rows]
    return result


def _rows_of(x: Tensor, nodes: Tensor) -> Tensor:
    """Returns rows of x [N, F], dense or sparse CSR."""
    if x.layout != torch.sparse_csr:
        return x[nodes]
    counts = x.crow_indices().diff().long()[nodes]
    entries = ranges(x.crow_indices().long()[nodes], counts)
    rowptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    values, shape = x.values()[entries], (len(nodes), x.shape[1])
    return torch.sparse_csr_tensor(rowptr, x.col_indices()[entries].long(), values, shape, check_invariants=False)


def _with_values(data: Data, values: Tensor) -> Data:
    result = copy(data)
    rowptr, cols = data.x.crow_indices(), data.x.col_indices()
    result.x = torch.sparse_csr_tensor(rowptr, cols, values, data.x.shape, check_invariants=True)
    return result
