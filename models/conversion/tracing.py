"""Traces a network that uses PyG into a graph of calls (torch.fx)."""

from __future__ import annotations

import dis
import inspect
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

import torch
import torch_geometric.nn
from torch import fx, nn
from torch_geometric.nn import JumpingKnowledge, MessagePassing, aggr, norm, pool
from torch_geometric.nn import Linear as LazyLinear

from models.conversion.calls import (
    check_in_place,
    note_evaluation,
    put_rows_first,
    with_tensors_once,
    without_dead_calls,
)
from models.conversion.errors import UnsupportedModel, Untraceable, place_of_traceback, reason_of

POOLS = (pool.global_mean_pool, pool.global_add_pool, pool.global_max_pool)
"""Functions that are one call in the traced graph, from wherever they are called."""

OF_POOLS: ModuleType = inspect.getmodule(pool.global_mean_pool)  # type: ignore[assignment]
"""Where PyG has them: there they call `scatter`."""

NAMESPACES: tuple[ModuleType, ...] = (torch_geometric.nn, pool, OF_POOLS)

SUMS = dict(zip(("mean", "sum", "max"), POOLS, strict=True))
"""The pools by what they let `scatter` do."""

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

WEIGHTS = ("edge_weight", "edge_attr")
"""What may hold the weights of edges."""


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


@dataclass(frozen=True)
class Held:
    """The fixed value of an argument, of any type."""

    value: Any


class Tracer(fx.Tracer):
    """Traces through the user's modules and PyG's models, down to layers."""

    record_stack_traces = True

    def __init__(self) -> None:
        super().__init__(autowrap_functions=POOLS)
        self.path = ""
        self.has_gradients = torch.is_grad_enabled()

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:  # noqa: FBT001
        """Gives the forward its fixed values as they are: torch.fx would take lists and mappings apart."""
        held = {name: Held(value) for name, value in (concrete_args or {}).items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot compare them with what is given later: we do
            call, args = super().create_args_for_root(root_fn, is_module, held)
        return lambda *given: call(*(v.value if isinstance(v, Held) else v for v in given)), args

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        """Whether a module is one call."""
        if isinstance(module, LEAVES) or type(module).__module__.startswith(norm.__name__):
            return True
        return type(module).__module__.startswith("torch.nn") and not isinstance(module, CONTAINERS)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for the result of a call."""
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, *others: Any, **named: Any) -> Any:
        """Records a call; of an argument not its default, which may be of any type.

        Raises:
            Untraceable: under `torch.no_grad`, which a converted network would not know of.
        """
        if torch.is_grad_enabled() != self.has_gradients:
            raise Untraceable(
                "computes under torch.no_grad; leave that out, and set requires_grad of what stays as it is to False"
            )
        return super().create_proxy(kind, target, () if kind == "placeholder" else args, *others, **named)

    def create_arg(self, a: Any) -> Any:
        """What a call is given.

        Raises:
            Untraceable: for a tensor that is made in the forward.
        """
        if isinstance(a, torch.Tensor) and not any(
            a is tensor for tensor in (*self.root.parameters(), *self.root.buffers(), *self.tensor_attrs)
        ):
            raise Untraceable("computes with a tensor that the forward makes; write a number, or put it into a layer")
        return super().create_arg(a)

    def call_module(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Remembers where it is, for error messages."""
        caller, self.path = self.path, self.path_of_module(module)
        result = super().call_module(module, forward, args, kwargs)
        self.path = caller  # not where something failed
        return result


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
    return without_dead_calls(training)


def _trace(network: nn.Module, fixed: Mapping[str, Any]) -> fx.Graph:
    tracer = Tracer()
    if tracer.is_leaf_module(network, ""):
        layer = type(network).__name__
        raise UnsupportedModel(f"{layer}: a layer alone is no network; call it in the forward of a module of your own")
    try:
        with _wrapped_pools(network):
            graph = tracer.trace(network, concrete_args=dict(fixed) or None)
            return put_rows_first(with_tensors_once(graph))
    except UnsupportedModel:
        raise
    except Exception as error:
        where = place_of_traceback(error.__traceback__) or tracer.path or type(network).__name__
        raise UnsupportedModel(f"{where}: {reason_of(error)}") from error


@contextmanager
def _wrapped_pools(network: nn.Module) -> Iterator[None]:
    """Makes pools that are called as attributes one call too (`gnn.global_mean_pool`, `self.pool`).

    Those in lists, and in functions of other files, are known by the `scatter` that they call.
    """
    call, aggr.Aggregation.__call__ = aggr.Aggregation.__call__, _call_as_module  # PyG's looks at shapes first
    places: list[tuple[Any, str]] = [(space, function.__name__) for space in NAMESPACES for function in POOLS]
    for part in network.modules():
        places += [(part, name) for name, value in vars(part).items() if any(value is pool for pool in POOLS)]
    before = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, function in before:
        setattr(place, name, _recorded(function))
    before.append((OF_POOLS, "scatter", OF_POOLS.scatter))
    OF_POOLS.scatter = _scattered  # type: ignore[attr-defined]
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


def _scattered(x: Any, batch: Any, *, dim_size: Any, reduce: str, **_: Any) -> Any:
    return _recorded(SUMS[reduce])(x, batch, dim_size)


def layers_called(graph: fx.Graph) -> list[Any]:
    """Returns the modules and pools that a traced network calls, in order."""
    pools = [function.__name__ for function in POOLS]
    return [n.target for n in graph.nodes if n.op == "call_module" or getattr(n.target, "__name__", None) in pools]


def arguments_of(network: nn.Module, *, edge_weight: bool | None = None) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns what each argument of a network's forward is (its role), and the fixed values of all others.

    Args:
        edge_weight: whether edge weights are given, as the first argument that may hold them; None: if its forward does
            not do without.

    Raises:
        UnsupportedModel: for an argument without a default that is none of `INPUTS`.
    """
    roles: dict[str, str] = {}
    fixed: dict[str, Any] = {}
    parameters = inspect.signature(network.forward).parameters
    weights = next((name for role in WEIGHTS for name in INPUTS[role] if name in parameters), None)
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        role, optional = ROLE_OF.get(name), parameter.default is not parameter.empty
        wanted = role not in (*WEIGHTS, "num_graphs") or not optional or (name == weights and bool(edge_weight))
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


def positions_of(network: nn.Module) -> tuple[str, ...]:
    """Returns the names of the arguments of a network's forward that may be given by position, in order."""
    parameters = inspect.signature(network.forward).parameters.values()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
