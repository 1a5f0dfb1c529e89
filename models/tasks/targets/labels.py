"""Several labels of each row, each of which it has or has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from models.tasks.metrics import OF_LABELS, Choice
from models.tasks.targets.base import Target, loss_of_known, mean_of_known


class Labels(Target):
    """Outputs are a logit for each of C labels; a row is said to have a label where its logit is above 0.

    Shapes:
        targets [rows, C] float32: 1, 0, or NaN where it is not known.
    """

    choices: ClassVar[Mapping[str, Choice]] = OF_LABELS
    endings: ClassVar[frozenset[str | None]] = frozenset({None})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the binary cross-entropy, averaged over all labels of all rows that are known."""
        return loss_of_known(binary_cross_entropy_with_logits, outputs, targets)

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns T^2 KL(sigmoid(teacher / T) || sigmoid(student / T)), averaged over rows and labels."""
        student, teacher = student / temperature, teacher / temperature
        yes = teacher.sigmoid() * (logsigmoid(teacher) - logsigmoid(student))
        no = (-teacher).sigmoid() * (logsigmoid(-teacher) - logsigmoid(-student))
        return temperature**2 * (yes + no).mean()

    def aligned(self, y: Tensor, outputs: Tensor) -> Tensor:
        """See `Target`; a single label may come without its column."""
        return y.float().view_as(outputs)

    def differing(self, expected: Tensor, computed: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """See `Target`: a label differs; and of such a label the logit that is expected is further from 0."""
        wrong = (expected > 0) != (computed > 0)
        return wrong.any(1), (wrong & (expected.abs() > step)).any(1)

    def agreement(self, expected: Tensor, computed: Tensor) -> float:
        """Returns the share of labels, of all rows, that are the same."""
        return float(((expected > 0) == (computed > 0)).double().mean())

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the share of a row's known labels that are wrong."""
        return mean_of_known((outputs > 0) != (targets > 0), targets)
