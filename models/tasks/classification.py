"""The base of tasks with classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from models.tasks.base import GraphTask
from models.tasks.metrics import OF_CLASSES, Choice


class Classification(GraphTask):
    """Minimises the mean cross-entropy; its own metric is the share of rows whose largest logit is of their class."""

    choices: ClassVar[Mapping[str, Choice]] = OF_CLASSES

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the cross-entropy. Shapes: predictions [B, C], targets [B]."""
        return cross_entropy(predictions, targets)

    def distillation_loss(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns T^2 KL(softmax(teacher / T) || softmax(student / T)), averaged over rows; both are logits [B, C]."""
        log_student, log_teacher = (log_softmax(logits / temperature, 1) for logits in (student, teacher))
        return temperature**2 * kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
