"""Tasks about the nodes of one graph, as a full batch."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch_geometric.data import Data

from models.layers.tensor_cache import TensorCache
from models.tasks.base import GraphTask
from models.tasks.targets import TARGETS, Target

_MEMBERS = TensorCache()
"""The nodes that are set in a mask: found once, as on a GPU the host would wait for their number."""


class OnNodes(GraphTask):
    """Counts the nodes of a stage only: those in batch.{train,val,test}_mask [N] bool."""

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of the nodes in the stage's mask."""
        predictions, targets = super().select(predictions, batch, stage)
        mask = batch[f"{stage}_mask"]
        nodes = _MEMBERS.get_or_make(mask, lambda: mask.nonzero().squeeze(1))
        return predictions.index_select(0, nodes), targets.index_select(0, nodes)


class NodeClassification(OnNodes):
    """Learns the class of each node, batch.y [N]. For the arguments see `GraphTask`."""

    kind: ClassVar[str] = "node_classification"
    target: ClassVar[Target] = TARGETS["classification"]


class NodeMultilabel(OnNodes):
    """Learns which of C labels each node has, batch.y [N, C] of 1, 0, or NaN for unknown; see `GraphTask`."""

    kind: ClassVar[str] = "node_multilabel"
    target: ClassVar[Target] = TARGETS["multilabel"]


class NodeRegression(OnNodes):
    """Learns a number for each node, batch.y [N], or several, [N, C], some of them NaN; see `GraphTask`."""

    kind: ClassVar[str] = "node_regression"
    target: ClassVar[Target] = TARGETS["regression"]
