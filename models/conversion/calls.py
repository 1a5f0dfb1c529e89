"""Looks at the calls of a traced network: what differs in evaluation, what works in place, what nothing reads."""

from __future__ import annotations

import torch
from torch import fx, nn

from models.conversion.errors import UnsupportedModel, place_of


def note_evaluation(training: fx.Graph, evaluation: fx.Graph, network: nn.Module) -> None:
    """Notes at every call in training what its arguments are in evaluation, as `meta["evaluation"]`.

    A dropout may be missing there, as under `if self.training:`; it has None.

    Raises:
        UnsupportedModel: if anything else differs.
    """
    stands_for: dict[fx.Node, fx.Node] = {}
    left = list(reversed(evaluation.nodes))

    def in_evaluation(node: fx.Node) -> fx.Node:
        while node.meta["evaluation"] is None:
            node = node.all_input_nodes[0]
        return node

    for node in training.nodes:
        other, drops = (left[-1] if left else None), is_dropout(node, network)
        if other is not None and (node.op, node.target) == (other.op, other.target):
            stands_for[left.pop()] = node
            there = fx.map_arg((other.args, other.kwargs), stands_for.__getitem__)
            node.meta["evaluation"] = there
            if drops or there == fx.map_arg((node.args, node.kwargs), in_evaluation):
                continue
        elif drops:
            node.meta["evaluation"] = None
            continue
        where = place_of(other if other is not None and node.op == "output" else node)
        raise UnsupportedModel(
            f"{where}: what is called here or next differs between training and evaluation; "
            "let the forward call the same in both, except for dropout"
        )


def is_dropout(node: fx.Node, network: nn.Module) -> bool:
    """Whether a call is a dropout of entries, as a module or a function."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Dropout)
    return node.op == "call_function" and node.target in (nn.functional.dropout, torch.dropout)


def without_dead_calls(graph: fx.Graph) -> fx.Graph:
    """Drops assertions, and what nothing reads: functions, attributes, arguments."""
    for node in reversed(graph.nodes):
        checks = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
        if checks or (not node.users and node.op not in ("output", "call_module")):
            graph.erase_node(node)
    return graph


def layers_not_called(graph: fx.Graph, network: nn.Module) -> tuple[str, ...]:
    """Returns the paths of the modules with weights that a traced network neither calls nor reads, outermost ones."""
    used = {f"{node.target}." for node in graph.nodes if node.op in ("call_module", "get_attr")}
    found: list[str] = []
    for path, module in network.named_modules():
        inside, weights = f"{path}.", any(True for _ in module.parameters())
        near = used | {f"{other}." for other in found}
        if path and weights and not any(inside.startswith(other) or other.startswith(inside) for other in near):
            found.append(path)
    return tuple(found)


IN_PLACE_OPERATORS = {"iadd", "isub", "imul", "itruediv"}


def check_in_place(graph: fx.Graph, network: nn.Module) -> None:
    """Checks that what is changed in place is read only through the result of that call.

    Raises:
        UnsupportedModel: otherwise: the steps of a converted network change nothing in place.
    """
    for node in graph.nodes:
        if not _works_in_place(node, network):
            continue
        changed = node.args[0] if node.args else None
        if not node.users or (isinstance(changed, fx.Node) and len(changed.users) > 1):
            raise UnsupportedModel(
                f"{place_of(node)}: changes rows in place that are read elsewhere too, or without their result; "
                "make new rows instead, as in h = h.relu()"
            )


def _works_in_place(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    called = node.op in ("call_function", "call_method")
    in_place = name in IN_PLACE_OPERATORS or (name.endswith("_") and not name.endswith("__"))
    return called and (in_place or bool(node.kwargs.get("inplace")))


def with_tensors_once(graph: fx.Graph) -> fx.Graph:
    """Makes a tensor of the network that a forward reads several times one node."""
    first: dict[str, fx.Node] = {}
    for node in graph.nodes:
        if node.op == "get_attr" and (known := first.setdefault(str(node.target), node)) is not node:
            node.replace_all_uses_with(known)
            graph.erase_node(node)
    return graph


ROWS = ("x", "input", "tensors", "xs", "self")
"""Names under which layers and functions take the rows that they read."""


def put_rows_first(graph: fx.Graph) -> fx.Graph:
    """Makes the rows that a call is given by name alone its first argument, where rules look for them."""
    for node in graph.nodes:
        name = next((name for name in ROWS if name in node.kwargs), None)
        if not node.args and name is not None:
            node.args = (node.kwargs[name],)
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != name}
    return graph
