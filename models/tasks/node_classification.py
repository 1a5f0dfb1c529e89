"""Classes of nodes on one graph, full batch."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from models.tasks.classification import Classification


class NodeClassification(Classification):
    """Cross-entropy on the training nodes; accuracy of validation and test nodes. Settings: those of GraphTask.

    Shapes:
        batch.y [N], batch.{train,val,test}_mask [N] beside those of GraphTask.
    """

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """The nodes of the stage's mask."""
        mask = batch[f"{stage}_mask"]
        return predictions[mask], batch.y[mask]
