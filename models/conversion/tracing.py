"""Traces a network that uses PyG into a graph of calls (torch.fx)."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from types import ModuleType
from typing import Any

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

    def _in_place(self, function: Callable[..., Any], other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


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
    for node, other in zip_longest(evaluation.nodes, training.nodes):
        if node is None or other is None or (node.op, node.target) != (other.op, other.target):
            where = place_of(other if node is None or node.op == "output" else node)
            raise UnsupportedModel(
                f"{where}: what is called here or next differs between training and evaluation; "
                "let the forward call the same in both, except for dropout"
            )
        node.meta["training"] = other.args, other.kwargs
    check_in_place(evaluation, network)
    return _without_assertions(evaluation)


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


def _without_assertions(graph: fx.Graph) -> fx.Graph:
    """Drops checks of fixed arguments, and arguments that nothing reads."""
    for node in reversed(graph.nodes):
        name = getattr(node.target, "__name__", "")
        checks = node.op == "call_function" and ("assert" in name or (name in ("eq", "is_") and not node.users))
        if checks or (node.op == "placeholder" and not node.users):
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
