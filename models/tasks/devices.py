"""Brings batches to the device of a model."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from models.layers.graph import Graph
from models.layers.tensor_cache import TensorCache, sent
from models.quantization.sparse import lasting

_MOVED = TensorCache()


AnyBatch = TypeVar("AnyBatch", bound=BaseData)


def on_device(batch: AnyBatch, device: torch.device) -> AnyBatch:
    """Returns a PyG batch or graph with its tensors on a device; the given one stays as it is.

    PyG's own `to` would move the tensors of the given object, which belongs to the datamodule. What was moved is kept
    while the original lives, so a graph that is trained on in every epoch is moved once.
    """

    def moved(x: Tensor) -> Tensor:
        if x.device == device:
            return x
        known: Tensor | None = _MOVED.get(x)
        if known is not None and known.device == device:
            return known
        with lasting():
            there: Tensor = sent(x, device)
        return _MOVED.put(x, there)

    there: AnyBatch = copy(batch).apply(moved)
    if device.type != "cpu":
        _send_graph(batch, there)
    return there


def _send_graph(here: BaseData, there: BaseData) -> None:
    """Forms the graph of a batch on the host, where nothing has to wait for its sizes; see `Graph.send`."""
    if "edge_index" not in here or here.edge_index.device.type != "cpu":
        return
    ends, nodes = (here.edge_index, there.edge_index), int(here.num_nodes)
    Graph.send(ends, nodes)
    if "edge_weight" in here:
        Graph.send(ends, nodes, (here.edge_weight, there.edge_weight))
