"""A number for every graph, in batches."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss
from torch_geometric.data import Data
from torchmetrics import MeanAbsoluteError, Metric

from models.tasks.base import GraphTask


class GraphRegression(GraphTask):
    """Mean absolute error of graphs, in the unit of the targets: what training minimises is what counts.

    Settings: those of GraphTask.

    Shapes:
        batch.y [G] or [G, C] beside those of GraphTask.
    """

    metric: ClassVar[tuple[str, str]] = ("mae", "min")

    def make_metric(self) -> Metric:
        """Mean absolute error over all graphs."""
        return MeanAbsoluteError()

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Shapes: predictions [G, C], targets [G, C]."""
        return l1_loss(predictions, targets)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """All graphs."""
        return predictions, batch.y.float().view_as(predictions)
