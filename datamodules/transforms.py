"""Transforms of PyG graphs; each returns a changed copy and leaves its argument as it is.

They can be used as `transform` or `pre_transform` of any PyG dataset.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import sort_edge_index

from models.quantization.protection import degree_cdf


def sort_edges(data: Data) -> Data:
    """Sorts edge_index [2, E], and edge_attr [E, ...] if there is one, by (target, source)."""
    result = copy(data)
    if data.edge_attr is None:
        result.edge_index = sort_edge_index(data.edge_index, num_nodes=data.num_nodes, sort_by_row=False)
    else:
        result.edge_index, result.edge_attr = sort_edge_index(
            data.edge_index, data.edge_attr, num_nodes=data.num_nodes, sort_by_row=False
        )
    return result


def attach_degree_cdf(data: Data) -> Data:
    """Adds `degree_cdf` [N]: for each node, the share of nodes whose in-degree is not larger."""
    result = copy(data)
    result.degree_cdf = degree_cdf(data.edge_index, data.num_nodes)
    return result


def normalize_rows(data: Data) -> Data:
    """Divides each row of the features `x` [N, F], sparse CSR or dense, by its sum; rows with sum 0 stay."""
    if data.x.layout == torch.strided:
        result, totals = copy(data), data.x.sum(1, keepdim=True)
        result.x = data.x / torch.where(totals == 0, 1.0, totals)
        return result
    values, counts = data.x.values(), data.x.crow_indices().diff().long()
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    sums = values.new_zeros(len(counts)).index_add(0, rows, values)
    return _with_values(data, values / torch.where(sums == 0, 1.0, sums)[rows])


def binary_features(data: Data) -> Data:
    """Sets every stored entry of the sparse CSR features `x` to one: word counts become word presence."""
    return _with_values(data, torch.ones_like(data.x.values()))


def _with_values(data: Data, values: Tensor) -> Data:
    result = copy(data)
    rowptr, cols = data.x.crow_indices(), data.x.col_indices()
    result.x = torch.sparse_csr_tensor(rowptr, cols, values, data.x.shape, check_invariants=True)
    return result
