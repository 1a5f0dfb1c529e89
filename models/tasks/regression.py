"""The base of tasks with numbers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss
from torch_geometric.data import Data
from torchmetrics import MeanAbsoluteError, Metric

from models.tasks.base import GraphTask


class Regression(GraphTask):
    """Minimises and measures the mean absolute error, in the targets' unit."""

    metric: ClassVar[tuple[str, str]] = ("mae", "min")

    def make_metric(self) -> Metric:
        """Returns the mean absolute error over all rows."""
        return MeanAbsoluteError()

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean absolute error. Shapes: predictions [B, C], targets [B, C]."""
        return l1_loss(predictions, targets)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of all rows."""
        return predictions, batch.y.float().view_as(predictions)
