"""The base of tasks with classes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from models.tasks.base import GraphTask


class Classification(GraphTask):
    """Minimises the mean cross-entropy, and measures the share of rows whose largest logit is that of their class."""

    metric: ClassVar[tuple[str, str]] = ("accuracy", "max")

    def make_metric(self) -> Metric:
        """Returns the accuracy over all rows.

        Raises:
            ValueError: if there is only one class.
        """
        if self.out_features < 2:
            raise ValueError("model: learns classes, but the data has one only: choose a task for numbers, or label it")
        return MulticlassAccuracy(self.out_features, average="micro")

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the cross-entropy. Shapes: predictions [B, C], targets [B]."""
        return cross_entropy(predictions, targets)

    def distillation_loss(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns T^2 KL(softmax(teacher / T) || softmax(student / T)), averaged over rows; both are logits [B, C]."""
        log_student, log_teacher = (log_softmax(logits / temperature, 1) for logits in (student, teacher))
        return temperature**2 * kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
