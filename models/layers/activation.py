"""Element-wise activations, tabulated or clamped at export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.quantization.builder import Deferred, ProgramBuilder, Ref

ActivationName = Literal["relu", "elu"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "elu": nn.functional.elu}


@dataclass(frozen=True)
class OfEntries:
    """A function of each entry with its settings; a method where `function` is a name."""

    function: Callable[..., Tensor] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, x: Tensor) -> Tensor:
        """Shapes: any."""
        function = getattr(torch.Tensor, self.function) if isinstance(self.function, str) else self.function
        result: Tensor = function(x, *self.args, **self.kwargs)
        return result


@dataclass(frozen=True)
class Scaled:
    """factor * x + summand of each entry."""

    factor: float
    summand: float

    def __call__(self, x: Tensor) -> Tensor:
        """Shapes: any."""
        return x * self.factor + self.summand


class Activation(nn.Module):
    """A function of each entry, by name or as any callable without a state of its own.

    Attributes:
        signed: whether results may be negative.
    """

    def __init__(self, function: ActivationName | Callable[[Tensor], Tensor], *, signed: bool | None = None) -> None:
        super().__init__()
        self.function = ACTIVATIONS[function] if isinstance(function, str) else function
        self.signed = self.function is not torch.relu if signed is None else signed

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: any."""
        return self.function(x)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """Part of the next quantize."""
        return builder.activation(x, self.function)
