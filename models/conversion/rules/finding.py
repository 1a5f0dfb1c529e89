"""Finds what becomes of a call: of a layer by its class, of a function by its name."""

from __future__ import annotations

from typing import Any

import torch_geometric.nn as pyg
from torch import fx, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

from models.conversion.conversion import Conversion
from models.conversion.errors import UnsupportedModel, place_of
from models.conversion.rules.convs import CONVOLUTIONS
from models.conversion.rules.functions import ENDING_MODULES, Ended, call_function, ended_by, ends
from models.conversion.rules.layers import LAYERS, Rule

RULES: dict[type, Rule] = {**LAYERS, **CONVOLUTIONS}

ADVICE = {
    pyg.GINEConv: "it reads features of edges, which no program does; use GINConv",
}
"""For layers that people use and no program has: what does the same."""


def rule_of(c: Conversion, node: fx.Node) -> Any:
    """Returns what is known of the result of a call.

    Raises:
        UnsupportedModel: if there is no rule for it.
    """
    if node.op == "get_attr":
        raise UnsupportedModel(
            f"{node.target}: is a tensor of the model that its forward reads; put it into a layer (to an Embedding:"
            " give the numbers of nodes as x)"
        )
    if node.op != "call_module":
        return call_function(c, node)
    module = c.network.get_submodule(str(node.target))
    if type(module) in ENDING_MODULES and (ends(c, node) or type(module) not in RULES):
        return ended_by(c, node, module)
    first = c.value(node.args[0]) if node.args else None
    if isinstance(first, Ended):
        raise UnsupportedModel(f"{place_of(node)}: comes behind the end of the network")
    for kind in type(module).__mro__:
        if kind in RULES:
            check_is_plain(str(node.target), module, kind)
            return RULES[kind](c, node, module)
    advice = next((advice for kind, advice in ADVICE.items() if isinstance(module, kind)), None)
    known = ", ".join(sorted({kind.__name__ for kind in CONVOLUTIONS}))
    others = f"of convolutions there are {known}" if isinstance(module, pyg.MessagePassing) else "leave it out"
    raise UnsupportedModel(f"{node.target}: {type(module).__name__} is unknown; {advice or others}")


BEHAVIOUR = ("forward", "message", "message_and_aggregate", "aggregate", "update", "edge_update")
"""Methods by which a class computes something else than its parent."""


def check_is_plain(path: str, module: nn.Module, kind: type) -> None:
    """Checks that a layer computes what its class does.

    Raises:
        UnsupportedModel: for methods of its own, hooks and reparametrised weights.
    """
    changed = [name for name in BEHAVIOUR if getattr(type(module), name, None) is not getattr(kind, name, None)]
    changed += ["forward"] if "forward" in vars(module) else []
    if changed:
        raise UnsupportedModel(f"{path}: has a {changed[0]} of its own, so it is no plain {kind.__name__}")
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
        return  # a hook gives it its weights when it is first run
    for part in module.modules():
        if part._forward_hooks or part._forward_pre_hooks or is_parametrized(part):
            raise UnsupportedModel(f"{path}: has hooks or reparametrised weights; remove them before")
