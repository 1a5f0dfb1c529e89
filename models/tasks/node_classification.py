"""Classification of the nodes of one graph, as a full batch."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from models.tasks.classification import Classification


class NodeClassification(Classification):
    """Learns the class of each node. For the arguments see `GraphTask`.

    Shapes:
        batch.y [N], the classes, and batch.{train,val,test}_mask [N] bool, the nodes of a stage; see also `GraphTask`.
    """

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of the nodes in the stage's mask."""
        mask = batch[f"{stage}_mask"]
        return predictions[mask], batch.y[mask]
