"""Finds what becomes of a call: of a layer by its class, of a function by its name."""

from __future__ import annotations

from typing import Any

import torch_geometric.nn as pyg
from torch import fx, nn

from models.conversion.conversion import Conversion
from models.conversion.convs import CONVOLUTIONS
from models.conversion.errors import UnsupportedModel, place_of
from models.conversion.functions import Ended, call_function
from models.conversion.layers import LAYERS, Rule

RULES: dict[type, Rule] = {**LAYERS, **CONVOLUTIONS}

ADVICE = {
    pyg.GATv2Conv: "use GATConv",
    pyg.GINEConv: "use GINConv: edge features are not read",
    nn.LayerNorm: "use BatchNorm, which is folded",
    pyg.LayerNorm: "use BatchNorm, which is folded",
    pyg.GraphNorm: "use BatchNorm, which is folded",
}
"""For layers that people use and no program has: what does the same."""


def rule_of(c: Conversion, node: fx.Node) -> Any:
    """Returns what is known of the result of a call.

    Raises:
        UnsupportedModel: if there is no rule for it.
    """
    if node.op == "get_attr":
        raise UnsupportedModel(f"{node.target}: is a tensor of the model that its forward reads; put it into a layer")
    if node.op != "call_module":
        return call_function(c, node)
    module = c.network.get_submodule(str(node.target))
    first = c.value(node.args[0]) if node.args else None
    if isinstance(first, Ended):
        raise UnsupportedModel(f"{place_of(node)}: comes behind the end of the network")
    for kind in type(module).__mro__:
        if kind in RULES:
            return RULES[kind](c, node, module)
    advice = next((advice for kind, advice in ADVICE.items() if isinstance(module, kind)), None)
    known = ", ".join(sorted({kind.__name__ for kind in CONVOLUTIONS}))
    raise UnsupportedModel(
        f"{node.target}: {type(module).__name__} is unknown; {advice or f'of convolutions there are {known}'}"
    )
