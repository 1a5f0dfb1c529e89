"""A number of each row, or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss

from models.tasks.metrics import OF_NUMBERS, Choice
from models.tasks.targets.base import Target, loss_of_known, mean_of_known

NOTHING = 1e-2
"""Values that are nearer, in output steps, differ by the order of a float sum alone."""


class Numbers(Target):
    """Outputs are the C numbers themselves, in their own units.

    Shapes:
        targets [rows, C] float32; NaN where it is not known.
    """

    choices: ClassVar[Mapping[str, Choice]] = OF_NUMBERS

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean absolute error, over all numbers of all rows that are known."""
        return loss_of_known(l1_loss, outputs, targets)

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns the mean absolute difference; the temperature does not matter."""
        return l1_loss(student, teacher)

    def aligned(self, y: Tensor, outputs: Tensor) -> Tensor:
        """See `Target`; a single number may come without its column."""
        return y.float().view_as(outputs)

    def differing(self, expected: Tensor, computed: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """See `Target`: a number differs by more than the order of a sum explains, or by more than a step."""
        distance = (expected - computed).abs().amax(1)
        return distance > step * NOTHING, distance > step

    def agreement(self, expected: Tensor, computed: Tensor) -> None:
        """See `Target`."""
        return

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the absolute error of a row, the mean over its known numbers."""
        return mean_of_known((outputs.double() - targets).abs(), targets)
