"""Counts the graphs, nodes and edges of a data set that is loaded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from datamodules import BatchedDataModule, FullBatchDataModule, GraphDataModule


class Counts(NamedTuple):
    """Nodes and edges of each graph [G], and the sizes of the splits as `train/val/test`."""

    nodes: Tensor
    edges: Tensor
    split: str


def count(datamodule: GraphDataModule) -> Counts:
    """Counts a data set whose data module is set up."""
    if isinstance(datamodule, BatchedDataModule):
        assert datamodule.store is not None
        return Counts(datamodule.store.num_nodes, datamodule.store.num_edges, str(datamodule.split))
    assert isinstance(datamodule, FullBatchDataModule)
    graph = datamodule.graph_data
    assert graph is not None
    split = "/".join(str(int(graph[f"{part}_mask"].sum())) for part in ("train", "val", "test"))
    return Counts(torch.tensor([graph.num_nodes]), torch.tensor([graph.num_edges]), split)


def mean_and_range(sizes: Tensor) -> str:
    """The mean of sizes, and the smallest to the largest where they differ."""
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low:,}" if low == high else f"{sizes.double().mean():,.1f} ({low:,}-{high:,})"
