"""Parts of a network that no program has: they are trained and evaluated as they are."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from models.conversion.errors import SharedLayer
from models.quantization.builder import ProgramBuilder


@dataclass(frozen=True)
class Slot:
    """Stands for an argument of a call: rows by their number, or what the network is given by its name."""

    of: int | str


class LeftAsIs(nn.Module):
    """A call of a module, function, method (by its name), or a parameter or other tensor of the network, in FP32.

    Args:
        target: what is called.
        args, kwargs: its arguments, with a `Slot` in the place of each that varies.
        reason: why it has no program.
    """

    reads_anything = True
    """It is given what the original gives it."""

    def __init__(self, target: Any, args: Any, kwargs: Any, reason: str) -> None:
        super().__init__()
        if isinstance(target, Tensor) and not isinstance(target, nn.Parameter):
            self.register_buffer("target", target.detach().clone())
        else:
            self.target = deepcopy(target)
        self.args, self.kwargs, self.reason = args, kwargs, reason

    def forward(self, *rows: Any, given: Mapping[str, Any]) -> Any:
        """What the call returns."""

        def value(slot: Any) -> Any:
            if not isinstance(slot, Slot):
                return slot
            return rows[slot.of] if isinstance(slot.of, int) else given.get(slot.of)

        target: Any = self.target
        if isinstance(target, Tensor):
            return target
        args, kwargs = map_aggregate(self.args, value), map_aggregate(self.kwargs, value)
        return (getattr(torch.Tensor, target) if isinstance(target, str) else target)(*args, **kwargs)

    def lower(self, builder: ProgramBuilder, *rows: Any) -> NoReturn:
        """Raises ValueError: it has no program."""
        raise ValueError(f"{self.reason}; it was left in FP32, so there is no program")


def target_of(network: nn.Module, node: fx.Node) -> Any:
    """Returns what a call of a traced network calls, or the tensor of the network that it reads.

    Raises:
        SharedLayer: for a tensor of a layer that is called too, whose own would be trained apart from this.
    """
    if node.op == "call_module":
        return network.get_submodule(str(node.target))
    if node.op != "get_attr":
        return node.target
    owner = str(node.target).rpartition(".")[0]
    if any(other.op == "call_module" and other.target == owner for other in node.graph.nodes):
        raise SharedLayer(f"{node.target}: is read beside the layer that it belongs to; give each a tensor of its own")
    return attrgetter(str(node.target))(network)
