"""Bins nodes by in-degree, and counts the errors of a network in each bin. The widths of bins double."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules import FullBatchDataModule
from models.quantization.protection import in_degree
from models.tasks import GraphTask, NodeClassification, on_device


def degree_bin(degree: Tensor) -> Tensor:
    """Returns the number of the bin of each degree: 0 for degree 0, k for degrees from 2^(k-1) to 2^k - 1."""
    return torch.frexp(degree.double()).exponent.long()


def bin_name(number: int) -> str:
    """Returns the degrees of a bin as text: `0`, `1`, `2-3`, `4-7`, ..."""
    low, high = 2**number // 2, 2**number - 1
    return str(low) if low >= high else f"{low}-{high}"


@torch.no_grad()
def error_by_degree(task: GraphTask, data: Any) -> dict[str, dict[str, int]] | None:
    """Counts test nodes and wrong ones among them by bin of in-degree; None for tasks other than classes of nodes."""
    if not (isinstance(task, NodeClassification) and isinstance(data, FullBatchDataModule) and data.graph_data):
        return None
    task.eval()
    graph = on_device(data.graph_data, task.device)
    bins = degree_bin(in_degree(graph.edge_index, graph.num_nodes))[graph.test_mask]
    wrong = (task(graph).argmax(-1) != graph.y)[graph.test_mask]
    return {
        bin_name(number): {"nodes": int((bins == number).sum()), "wrong": int(wrong[bins == number].sum())}
        for number in sorted(set(bins.tolist()))
    }
