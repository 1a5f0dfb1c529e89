"""Traces a network that uses PyG into a graph of calls (torch.fx)."""

from __future__ import annotations

import dis
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import torch
import torch_geometric.nn
from torch import fx, nn
from torch_geometric.nn import JumpingKnowledge, MessagePassing, aggr, norm, pool
from torch_geometric.nn import Linear as LazyLinear

from models.conversion.errors import UnsupportedModel, place_of, place_of_traceback

POOLS = (pool.global_mean_pool, pool.global_add_pool, pool.global_max_pool)
"""Functions that are one call in the traced graph, from wherever they are called."""

NAMESPACES: tuple[ModuleType, ...] = (torch_geometric.nn, pool, inspect.getmodule(pool.global_mean_pool))  # type: ignore[assignment]

LEAVES = (
    *(MessagePassing, JumpingKnowledge, LazyLinear, aggr.Aggregation),
    *(nn.Linear, nn.Embedding, nn.BatchNorm1d, nn.Dropout),
)
"""Modules that are one call, beside those of `torch.nn` and PyG's norms."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

INPUTS: Mapping[str, tuple[str, ...]] = {
    "x": ("x",),
    "edge_index": ("edge_index", "adj_t", "adj"),
    "batch": ("batch",),
    "num_graphs": ("num_graphs", "batch_size"),
    "edge_weight": ("edge_weight",),
    "edge_attr": ("edge_attr",),
    "data": ("data",),
}
"""What a forward may take, and the names it may have there."""

ROLE_OF = {name: role for role, names in INPUTS.items() for name in names}


class Proxy(fx.Proxy):
    """Records what works in place as such, so that it can be told from what makes new rows."""

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(operator.itruediv, other)

    def __bool__(self) -> bool:
        """Lets an `assert` pass, whatever it checks; all else that asks is control flow."""
        frame = inspect.currentframe()
        passes = passing_value(frame.f_back) if frame and frame.f_back else None
        return super().__bool__() if passes is None else passes

    def _in_place(self, function: Callable[..., Any], other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


def passing_value(frame: FrameType) -> bool | None:
    """Returns the truth value that lets an `assert` pass whose condition a frame is testing; None: it is no assert."""
    code = [step for step in dis.get_instructions(frame.f_code) if step.offset >= frame.f_lasti]
    jump = next((i for i, step in enumerate(code[:2]) if "JUMP" in step.opname), None)
    if jump is None:
        return None
    behind = {step.offset: "ASSERTION_ERROR" in step.opname or step.argval is AssertionError for step in code}
    jumps_if_true = "TRUE" in code[jump].opname
    if jump + 1 < len(code) and behind[code[jump + 1].offset]:
        return jumps_if_true
    return not jumps_if_true if behind.get(code[jump].argval) else None


class Tracer(fx.Tracer):
    """Traces through the user's modules and PyG's models, down to layers."""

    record_stack_traces = True

    def __init__(self) -> None:
        super().__init__(autowrap_functions=POOLS)
        self.path = ""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        """Whether a module is one call."""
        if isinstance(module, LEAVES) or type(module).__module__.startswith(norm.__name__):
            return True
        return type(module).__module__.startswith("torch.nn") and not isinstance(module, CONTAINERS)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for the result of a call."""
        return Proxy(node, self)

    def call_module(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Remembers where it is, for error messages."""
        self.path = self.path_of_module(module)
        return super().call_module(module, forward, args, kwargs)


def trace(network: nn.Module, fixed: Mapping[str, Any] | None = None) -> fx.Graph:
    """Returns the calls of a network's forward, with all that depends only on its settings worked out.

    Args:
        fixed: values of arguments that do not vary.

    Raises:
        UnsupportedModel: if the forward decides by values or shapes of tensors, or fails otherwise.
    """
    evaluation, training = (_trace(network.train(training), fixed or {}) for training in (False, True))
    note_evaluation(training, evaluation, network)
    check_in_place(training, network)
    return _without_dead_calls(training)


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
            node = dropped_rows(node)
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


def dropped_rows(node: fx.Node) -> Any:
    """What a dropout is given."""
    return node.args[0] if node.args else node.kwargs["input"]


def _trace(network: nn.Module, fixed: Mapping[str, Any]) -> fx.Graph:
    tracer = Tracer()
    try:
        with _wrapped_pools(network):
            return tracer.trace(network, concrete_args=dict(fixed) or None)
    except UnsupportedModel:
        raise
    except Exception as error:
        where = place_of_traceback(error.__traceback__) or tracer.path or type(network).__name__
        if isinstance(error, fx.proxy.TraceError) or "control flow" in str(error):
            why = "decides by the values or the shape of a tensor; decide by a setting of the module instead"
        else:
            reason = str(error).partition("\n")[0] or type(error).__name__
            why = f"cannot be traced without data ({reason})"
        raise UnsupportedModel(f"{where}: {why}") from error


@contextmanager
def _wrapped_pools(network: nn.Module) -> Iterator[None]:
    """Makes pools that are called as attributes one call too: `gnn.global_mean_pool`, `self.pool`."""
    call, aggr.Aggregation.__call__ = aggr.Aggregation.__call__, _call_as_module  # PyG's looks at shapes first
    places: list[tuple[Any, str]] = [(space, function.__name__) for space in NAMESPACES for function in POOLS]
    for part in network.modules():
        places += [(part, name) for name, value in vars(part).items() if any(value is pool for pool in POOLS)]
    before = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, function in before:
        setattr(place, name, _recorded(function))
    try:
        yield
    finally:
        aggr.Aggregation.__call__ = call
        for place, name, function in before:
            setattr(place, name, function)


def _call_as_module(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return nn.Module.__call__(module, *args, **kwargs)


def _recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        proxy = next((a for a in (*args, *kwargs.values()) if isinstance(a, fx.Proxy)), None)
        if proxy is None:
            return function(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", function, args, kwargs)

    return call


def _without_dead_calls(graph: fx.Graph) -> fx.Graph:
    """Drops assertions, and what nothing reads: functions, attributes, arguments."""
    for node in reversed(graph.nodes):
        checks = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
        if checks or (not node.users and node.op not in ("output", "call_module")):
            graph.erase_node(node)
    return graph


IN_PLACE_OPERATORS = {"iadd", "isub", "imul", "itruediv"}


def check_in_place(graph: fx.Graph, network: nn.Module) -> None:
    """Checks that what is changed in place is read only through the result of that call.

    Raises:
        UnsupportedModel: otherwise: the steps of a converted network change nothing in place.
    """
    for node in graph.nodes:
        if not _works_in_place(node, network):
            continue
        changed = node.args[0] if node.args else node.kwargs.get("input")
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


def arguments_of(network: nn.Module, *, edge_weight: bool | None = None) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns what each argument of a network's forward is (its role), and the fixed values of all others.

    Args:
        edge_weight: whether edge weights are given; None: if its forward does not do without.

    Raises:
        UnsupportedModel: for an argument without a default that is none of `INPUTS`.
    """
    roles: dict[str, str] = {}
    fixed: dict[str, Any] = {}
    for name, parameter in inspect.signature(network.forward).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        role, optional = ROLE_OF.get(name), parameter.default is not parameter.empty
        wanted = role not in ("edge_weight", "edge_attr", "num_graphs") or not optional
        wanted = bool(edge_weight) if role == "edge_weight" and edge_weight is not None and optional else wanted
        if role is not None and wanted:
            roles[name] = role
        elif optional:
            fixed[name] = parameter.default
        else:
            raise UnsupportedModel(
                f"{type(network).__name__}.forward: its argument {name} is unknown; "
                f"it may take {', '.join(names[0] for names in INPUTS.values())}, and others with a default"
            )
    return roles, fixed
