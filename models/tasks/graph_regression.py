"""Regression of whole graphs, in batches."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss
from torch_geometric.data import Data
from torchmetrics import MeanAbsoluteError, Metric

from models.tasks.base import GraphTask


class GraphRegression(GraphTask):
    """Learns a number (or several) for each graph; loss and metric are the mean absolute error in the targets' unit.

    For the arguments see `GraphTask`.

    Shapes:
        batch.y [G] or [G, C], the targets; see also `GraphTask`.
    """

    metric: ClassVar[tuple[str, str]] = ("mae", "min")

    def make_metric(self) -> Metric:
        """Returns the mean absolute error over all graphs."""
        return MeanAbsoluteError()

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean absolute error. Shapes: predictions [G, C], targets [G, C]."""
        return l1_loss(predictions, targets)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of all graphs."""
        return predictions, batch.y.float().view_as(predictions)
