"""One class of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from models.tasks.metrics import OF_CLASSES, Choice
from models.tasks.targets.base import Target


class Classes(Target):
    """Outputs are the logits of C classes, of which a row has one; its own metric is accuracy.

    Shapes:
        targets [rows] int64.
    """

    choices: ClassVar[Mapping[str, Choice]] = OF_CLASSES
    endings: ClassVar[frozenset[str | None]] = frozenset({None, "log_softmax"})  # a second log_softmax changes nothing

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean cross-entropy."""
        return cross_entropy(outputs, targets)

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns T^2 KL(softmax(teacher / T) || softmax(student / T)), averaged over rows."""
        log_student, log_teacher = (log_softmax(logits / temperature, 1) for logits in (student, teacher))
        return temperature**2 * kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)

    def differing(self, expected: Tensor, computed: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """See `Target`: the class differs, and the two largest logits that are expected are further apart."""
        first, second = expected.topk(2, dim=1).values.T
        return expected.argmax(1) != computed.argmax(1), first - second > step

    def agreement(self, expected: Tensor, computed: Tensor) -> float:
        """Returns the share of rows with the same class."""
        return float((computed.argmax(1) == expected.argmax(1)).float().mean())

    def comparable(self, outputs: Tensor) -> Tensor:
        """Returns the logits less their mean in each row, which no class depends on."""
        return outputs - outputs.mean(1, keepdim=True)

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns 1 for a wrong class, else 0."""
        return (outputs.argmax(1) != targets).double()
