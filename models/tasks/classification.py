"""What tasks with classes share."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from models.tasks.base import GraphTask


class Classification(GraphTask):
    """Mean cross-entropy; accuracy as the fraction of rows whose largest logit is that of their class."""

    metric: ClassVar[tuple[str, str]] = ("accuracy", "max")

    def make_metric(self) -> Metric:
        """Accuracy over all rows."""
        return MulticlassAccuracy(self.out_features, average="micro")

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Shapes: predictions [B, C], targets [B]."""
        return cross_entropy(predictions, targets)

    def disagreement(self, answers: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """T^2 KL(softmax(wanted / T) || softmax(answers / T)), the mean over rows; logits [B, C] both."""
        student, teacher = (log_softmax(logits / temperature, 1) for logits in (answers, wanted))
        return temperature**2 * kl_div(student, teacher, reduction="batchmean", log_target=True)
