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
    result, nodes = copy(data), mask.nonzero().flatten()
    inside = mask[data.edge_index].all(0)
    number = mask.cumsum(0) - 1
    result.edge_index = number[data.edge_index[:, inside]]
    sparse = data.x.layout == torch.sparse_csr
    result.x = data.x.to_sparse_coo().index_select(0, nodes).to_sparse_csr() if sparse else data.x[nodes]
    for part in ("y", *MASKS):
        result[part] = data[part][nodes]
    for part in ("edge_attr", "edge_weight"):
        if data.get(part) is not None:
            result[part] = data[part][inside]
    return result


def _with_values(data: Data, values: Tensor) -> Data:
    result = copy(data)
    rowptr, cols = data.x.crow_indices(), data.x.col_indices()
    result.x = torch.sparse_csr_tensor(rowptr, cols, values, data.x.shape, check_invariants=True)
    return result
