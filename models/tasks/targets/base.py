"""What all kinds of targets have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.tasks.metrics import Choice


class Target(ABC):
    """What a network learns of a row (node or graph): what its outputs mean, and how far they are from the truth.

    Outputs are [rows, C], as the network writes them. A NaN in targets of floats is not known: no loss, no metric and
    no comparison counts it.

    Attributes:
        choices: the metrics that it offers by name, its own first.
        endings: what a network may apply to its outputs at the end, see `Network.output_function`.
    """

    choices: ClassVar[Mapping[str, Choice]]
    endings: ClassVar[frozenset[str | None]] = frozenset({None, "log_softmax", "softmax", "sigmoid"})

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss, averaged over what is known."""

    @abstractmethod
    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Returns how far a student's outputs are from its teacher's, averaged over rows; see `Distillation`."""

    def aligned(self, y: Tensor, outputs: Tensor) -> Tensor:
        """Returns the targets of the rows that the outputs are of, as `loss` takes them."""
        return y

    @abstractmethod
    def differing(self, expected: Tensor, computed: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """Compares the predictions that two outputs are.

        Args:
            expected, computed: [rows, C].
            step: distance of two neighbouring output codes.

        Returns:
            bool [rows] whether the predictions differ, and bool [rows] whether one step could not make them differ.
        """

    @abstractmethod
    def agreement(self, expected: Tensor, computed: Tensor) -> float | None:
        """Returns the share of decisions that two outputs have in common; None of numbers, which decide nothing."""

    def comparable(self, outputs: Tensor) -> Tensor:
        """Returns the outputs without what no prediction depends on."""
        return outputs

    @abstractmethod
    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns how wrong each row is, [rows] float64."""


def loss_of_known(loss: Callable[..., Any], outputs: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean of a loss of torch.nn.functional over the pairs [rows, C] whose target is not NaN."""
    if outputs.device.type == "cpu":
        mean: Tensor = loss(*where_known(outputs, targets))
        return mean
    known = ~targets.isnan()  # how many they are is not asked: the host would wait for the answer
    losses = loss(outputs, torch.where(known, targets, 0.0), reduction="none")
    return torch.where(known, losses, 0.0).sum() / known.sum()


def where_known(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns outputs and targets [rows, C] as they are, or if a target is NaN the pairs that are known, flat."""
    known = ~targets.isnan()
    return (outputs, targets) if bool(known.all()) else (outputs[known], targets[known])


def mean_of_known(values: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean of each row [rows] over the columns whose target is known."""
    known = ~targets.isnan()
    return torch.where(known, values.double(), 0.0).sum(1) / known.sum(1)
