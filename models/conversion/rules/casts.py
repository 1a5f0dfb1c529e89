"""What becomes of a forward's casts to floats."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from models.conversion.conversion import Conversion, Form, Rows
from models.conversion.errors import UnsupportedModel, place_of
from models.conversion.left import LeftAsIs

FLOATS = (torch.float32, torch.float64)


def floats(c: Conversion, node: fx.Node) -> Any:
    """`x.float()`, `x.double()`, `x.to(dtype)`: the network's input in the dtype of the weights; all else is in it.

    Raises:
        UnsupportedModel: for another cast, and for results of what is left as it is, which may be whole numbers.
    """
    value, (_, *others) = c.value(node.args[0]), (*node.args, *node.kwargs.values())
    if others and (len(others) > 1 or others[0] not in FLOATS):
        raise UnsupportedModel(
            f"{place_of(node)}: no program computes {node.target}; leave it out or do it in the data"
        )
    if isinstance(value, Rows) and isinstance(c.modules.get(value.path), LeftAsIs):
        raise UnsupportedModel(f"{place_of(node)}: casts what is left in FP32 itself")
    if isinstance(value, Rows) and value.form is Form.FLOAT:
        c.casts_input = True
    return value
