"""The base of tasks with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss
from torch_geometric.data import Data

from models.tasks.base import GraphTask
from models.tasks.metrics import OF_NUMBERS, Choice


class Regression(GraphTask):
    """Minimises the mean absolute error, which is its own metric, in the targets' unit."""

    choices: ClassVar[Mapping[str, Choice]] = OF_NUMBERS

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean absolute error. Shapes: predictions [B, C], targets [B, C]."""
        return l1_loss(predictions, targets)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of all rows."""
        return predictions, batch.y.float().view_as(predictions)
