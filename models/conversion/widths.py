"""How many features a network reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from models.conversion.comparison import arguments_from, small_graphs
from models.conversion.conversion import Conversion
from models.conversion.errors import UnsupportedModel

PARTS = (1, 2, 3, 4)
"""How many times the width of the features a layer may be as wide that reads them beside functions of them."""


def width_of_input(conversion: Conversion, network: nn.Module, arguments: Mapping[str, str]) -> int:
    """Returns how many features the network reads; of categories, how many there are.

    Args:
        network: a copy of the original, which is tried if no layer tells.

    Raises:
        UnsupportedModel: if neither tells.
    """
    if conversion.in_features is not None:
        return conversion.in_features
    like = next(network.parameters(), torch.empty(0))

    def inputs(width: int) -> Iterator[Mapping[str, Any]]:
        return (arguments_from(arguments, graph) for graph in small_graphs(width, like) if graph.x.is_floating_point())

    with torch.no_grad(), torch.random.fork_rng():
        found = width_taken(network.eval(), inputs)
    if found is None:
        raise UnsupportedModel(
            f"{type(network).__name__}: no layer that reads x says how wide it is; "
            "let one with weights, such as nn.Linear, read it first"
        )
    return found


def width_taken(network: nn.Module, inputs: Callable[[int], Iterable[Mapping[str, Any]]]) -> int | None:
    """Returns the one width of features that a network takes, tried in evaluation; None: it takes none, or several.

    It is the size of one of its tensors, or a part of it, as where features stand beside others. One column counts only
    if no other width is taken: it may be repeated for all.

    Args:
        inputs: makes arguments of the network's forward, of features so wide.
    """
    tensors = [tensor for tensor in (*network.parameters(), *network.buffers()) if not is_lazy(tensor)]
    sizes = {size for tensor in tensors for size in tensor.shape if size}
    widths = {size // parts for size in sizes for parts in PARTS if size % parts == 0}
    if any(map(partial(runs, network), inputs(max(widths, default=0) + 1))):
        return None  # no tensor is so wide: it takes any
    taken = {width for width in widths if any(map(partial(runs, network), inputs(width)))}
    taken = taken - {1} or taken
    return taken.pop() if len(taken) == 1 else None


def runs(network: nn.Module, given: Mapping[str, Any]) -> bool:
    """Whether a network takes these arguments; a copy of it is called."""
    try:
        deepcopy(network)(**given)
    except Exception:  # whatever it is
        return False
    return True
