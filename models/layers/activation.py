"""Element-wise activations, tabulated or clamped at export."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.quantization.builder import ProgramBuilder, Ref

ActivationName = Literal["relu", "elu"]
ACTIVATIONS = {"relu": torch.relu, "elu": nn.functional.elu}


class Activation(nn.Module):
    """The activation called `name`, element by element."""

    def __init__(self, name: ActivationName) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]

    @property
    def signed(self) -> bool:
        """Whether results may be negative."""
        return self.function is not torch.relu

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: any."""
        return self.function(x)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """Part of the next quantize."""
        return builder.activation(x, self.function)
