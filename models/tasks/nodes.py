"""What tasks about the nodes of one graph, as a full batch, have in common."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from models.tasks.base import GraphTask


class OnNodes(GraphTask):
    """Counts the nodes of a stage only; stands before the base that says what is learned."""

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of the nodes in the stage's mask."""
        predictions, targets = super().select(predictions, batch, stage)
        mask = batch[f"{stage}_mask"]
        return predictions[mask], targets[mask]
