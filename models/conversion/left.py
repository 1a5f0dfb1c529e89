"""Parts of a network that no program has: they are trained and evaluated as they are."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.fx.node import map_aggregate

from models.quantization.builder import ProgramBuilder


@dataclass(frozen=True)
class Slot:
    """Stands for an argument of a call: rows by their number, or what the network is given by its name."""

    of: int | str


class LeftAsIs(nn.Module):
    """A call of a module, function, method (by its name) or parameter, in FP32.

    Args:
        target: what is called.
        args, kwargs: its arguments, with a `Slot` in the place of each that varies.
        reason: why it has no program.
    """

    def __init__(self, target: Any, args: Any, kwargs: Any, reason: str) -> None:
        super().__init__()
        self.target = nn.Parameter(target.detach().clone()) if isinstance(target, Tensor) else deepcopy(target)
        self.args, self.kwargs, self.reason = args, kwargs, reason

    def forward(self, *rows: Any, given: Mapping[str, Any]) -> Any:
        """What the call returns."""

        def value(slot: Any) -> Any:
            if not isinstance(slot, Slot):
                return slot
            return rows[slot.of] if isinstance(slot.of, int) else given.get(slot.of)

        target: Any = self.target
        if isinstance(target, nn.Parameter):
            return target
        args, kwargs = map_aggregate(self.args, value), map_aggregate(self.kwargs, value)
        return (getattr(torch.Tensor, target) if isinstance(target, str) else target)(*args, **kwargs)

    def lower(self, builder: ProgramBuilder, *rows: Any) -> NoReturn:
        """Raises ValueError: it has no program."""
        raise ValueError(f"{self.reason}; it was left in FP32, so there is no program")
