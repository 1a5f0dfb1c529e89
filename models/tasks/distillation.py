"""Knowledge distillation: a quantized network learns to agree with a teacher in FP32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Distillation:
    """Settings of knowledge distillation (Hinton et al. 2015).

    The teacher is the network in FP32, with the weights that the run starts from. With the teacher's predictions t,
    the student's predictions s and the targets y, training minimises

        (1 - weight) * target.loss(s, y) + weight * target.distance(s, t, temperature),

    the first term over the training rows, the second, which needs no labels, over all rows of the batch.

    Attributes:
        weight: the teacher's share; at 1, training sees no labels.
        temperature: T, which divides the logits of both in the distillation loss; above 1, small probabilities count
            more.

    Raises:
        ValueError: on a value outside its bounds.
    """

    weight: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight <= 1.0:
            raise ValueError(f"distillation.weight: expected a number in (0, 1], got {self.weight}")
        if not self.temperature > 0.0:
            raise ValueError(f"distillation.temperature: expected a number above 0, got {self.temperature}")


class Teacher(nn.Module):
    """A network that is not trained: its parameters become buffers.

    So checkpoints keep them, a resumed run has the same teacher, and nothing trains, counts or logs them as weights.

    Attributes:
        known: whether the teacher was given weights.
    """

    known: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for part in network.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                delattr(part, name)
                part.register_buffer(name, parameter.detach())
        self.network = network
        self.register_buffer("known", torch.tensor(False))

    @torch.no_grad()
    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Returns the predictions in evaluation: without dropout, with tracked statistics."""
        predictions: Tensor = self.network.eval()(*inputs, **named)
        return predictions
