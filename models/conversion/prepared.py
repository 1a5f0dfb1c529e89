"""`prepare`: makes of somebody's network one that is trained and lowered by a scheme."""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn

from models.architectures.network import Network
from models.architectures.overrides import check_scheme
from models.conversion.calls import layers_not_called
from models.conversion.comparison import OF_DATA, arguments_from, check_computes_the_same, small_graphs
from models.conversion.conversion import Conversion, Form, Given, Rows, convert, layers_that_end
from models.conversion.copying import copied
from models.conversion.errors import UnsupportedModel
from models.conversion.rules.finding import rule_of
from models.conversion.rules.functions import Ended
from models.conversion.tracing import ROLE_OF, WEIGHTS, arguments_of, layers_called, positions_of, trace
from models.conversion.widths import width_of_input
from models.layers.edges.given import check_batch
from models.layers.graph import Graph
from models.layers.steps import INPUT, put_module
from models.layers.tensor_cache import TensorCache
from models.quantization.control import rounding_only
from models.quantization.protection import degree_cdf
from models.quantization.qconfig import QuantScheme
from models.schemes import scheme_of

_DEGREES = TensorCache()

PLAIN = (bool, int, float, str, tuple, list)
"""Types of values that may be equal without being the same."""


class PreparedNetwork(Network):
    """What `prepare` makes of a network: it takes the same arguments, and those of every `Network` by name.

    Its weights are taken over exactly; the given network is left alone.

    Args:
        network: its forward takes x and edge_index, and may take batch; or a `data` with these.
        scheme: what is quantized how; None: FP32.
        strict: whether what cannot be converted is refused; else it is left in FP32.
        edge_weight: whether weights of edges will be given; None: if its forward does not do without.

    Attributes:
        arguments: what each argument of the original's forward is.
        left_in_fp32: why parts of it are not quantized; with such parts it has no program.
        not_called: paths of the original's layers that its forward does not call; they are left out.
        make_original: makes a network like the original, with other weights; None: unknown.

    Shapes:
        as the original network's.

    Raises:
        UnsupportedModel: for what cannot be converted.
    """

    def __init__(
        self,
        network: nn.Module,
        scheme: QuantScheme | None,
        *,
        strict: bool = True,
        edge_weight: bool | None = None,
    ) -> None:
        copy = copied(network)
        modes = {path: module.training for path, module in network.named_modules()}
        arguments, fixed = arguments_of(copy, edge_weight=edge_weight)
        conversion = Conversion(copy, scheme or QuantScheme(), rule_of, strict=strict)
        graph = trace(copy, fixed)
        ended = logits_of(conversion, graph, arguments)
        super().__init__(width_of_input(conversion, copied(network), arguments), ended.logits.width or 0, scheme)
        self.weights = conversion.weights
        self.left_in_fp32 = tuple(conversion.left)
        self.not_called = layers_not_called(graph, copy)
        self.casts_input = conversion.casts_input
        self.arguments, self.original = arguments, type(network).__name__
        # what arguments keep their defaults, and the names of those that may be given by position
        self._fixed, self._positions = fixed, positions_of(network)
        self.needs_batch = decides_by_batch(copy, graph, arguments, fixed)
        self.make_original: Callable[[], nn.Module] | None = None
        self.steps, self.num_masks = tuple(conversion.steps), conversion.masks
        self.endings, self.output_function = ended.functions, ended.name
        self._take(conversion.modules)
        self._compare_with(copied(network))
        self.train(network.training)
        for path, module in self.named_modules():
            module.training = modes.get(path, module.training)

    def _take(self, modules: Mapping[str, nn.Module]) -> None:
        for path, module in modules.items():
            name = path.partition(".")[0]
            if hasattr(self, name) and name not in self._modules:
                raise UnsupportedModel(
                    f"{self.original}.{name}: a prepared network has something else by that name; call it otherwise"
                )
            put_module(self, path, module)

    def _compare_with(self, original: nn.Module) -> None:
        graphs = small_graphs(self.in_features, like=next(original.parameters(), torch.empty(0)))
        ours = deepcopy(self).eval()  # what is left as it is may remember a graph
        with torch.no_grad(), torch.random.fork_rng(), rounding_only(ours, ()):
            check_computes_the_same(original.eval(), ours, map(self.arguments_for, graphs))

    def arguments_for(self, batch: Any) -> dict[str, Any]:
        """Returns the arguments that the original network takes from a batch."""
        return arguments_from(self.arguments, batch)

    @property
    def kind(self) -> str:
        """The class it was made of."""
        return self.original

    def details(self) -> list[str]:
        """The class it was made of, and its layers with weights by kind."""
        modules = (self.get_submodule(step.module) for step in self.steps)
        kinds = Counter(type(module).__name__ for module in modules if any(True for _ in module.parameters()))
        return [f"prepared from {self.original}", *(f"{number} {kind}" for kind, number in kinds.items())]

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # it cannot read the kernels that sites run
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Takes what the original takes; or x, edge_index, degree_cdf, batch, num_graphs by these names.

        torch.compile leaves it as it is. Without `degree_cdf` a scheme that draws masks takes it from the edges.

        Raises:
            TypeError: for arguments that neither has, or that are missing.
        """
        given = self._given(args, kwargs)
        if self.casts_input:
            given["x"] = given["x"].to(self.dtype)
        if given.get("degree_cdf") is None and self.training and self.protection is not None:
            given["degree_cdf"] = degrees_of(given["edge_index"], len(given["x"]), given.get("batch"))
        y = super().forward(**given)
        for ending in self.endings:
            y = ending(y)
        return y

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns arguments by name, without those that are as they were when the forward was traced.

        Raises:
            TypeError: for arguments that would have no effect, and for too many.
        """
        names = self._positions
        if len(args) > len(names):
            raise TypeError(f"{self.original}: takes {len(names)} arguments ({', '.join(names)}), got {len(args)}")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        known = {*self.arguments, "x", "edge_index", "degree_cdf", "batch", "num_graphs"}
        known |= {"edge_weight"} if self.reads_edge_weights else set()
        for name in given.keys() - known:
            self._check_is_fixed(name, given.pop(name))
        return given

    def _check_is_fixed(self, name: str, value: Any) -> None:
        default = self._fixed.get(name)
        if value is default or (isinstance(value, PLAIN) and value == default):
            return
        hint = ""
        if ROLE_OF.get(name) in WEIGHTS:
            hint = ": prepare(..., edge_weight=True) makes it read weights of edges"
        elif name in self._fixed:
            hint = f": it stays {default!r}, as when it was prepared; leave it out"
        raise TypeError(f"{self.original}: reads no {name}{hint}")

    def _given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = self._named(args, kwargs)
        given = {self.arguments.get(name, name): value for name, value in given.items()}
        if (data := given.pop("data", None)) is not None:
            given = {name: getattr(data, name, None) for name in ("x", *OF_DATA, "degree_cdf")} | given
        if self.weights is not None and (weights := given.get(self.weights)) is not None:
            given["edge_weight"] = weights.flatten()
        if "edge_index" not in given and not {"edge_index", "data"} & set(self.arguments.values()):
            given["edge_index"] = torch.empty(2, 0, dtype=torch.long)  # no step reads it
        missing = [name for name in ("x", "edge_index") if given.get(name) is None]
        if missing:
            raise TypeError(f"{self.original}: {' and '.join(missing)} missing")
        if self.needs_batch and given.get("batch") is None:
            raise ValueError(
                f"network {self.original}: its forward calls other layers where no batch is given; "
                "give it the graph of every node, or leave that argument out"
            )
        return given


def warn_of_remarks(prepared: PreparedNetwork) -> None:
    """Warns the caller's caller of what was left in FP32 or left out."""
    for reason in prepared.left_in_fp32:
        warnings.warn(f"left in FP32: {reason}", stacklevel=3)
    if paths := ", ".join(prepared.not_called):
        warnings.warn(f"left out, as the forward of {prepared.original} never calls it: {paths}", stacklevel=3)


def logits_of(conversion: Conversion, graph: Any, arguments: Mapping[str, str]) -> Ended:
    """Converts all calls; returns what the network ends with, on the grid of a site.

    Raises:
        UnsupportedModel: for a network that returns something else than one tensor of rows.
    """
    x = Rows(INPUT, Form.FLOAT, path=INPUT, role="inputs", of_input=True)
    conversion.attributes = {"x": x, **{role: Given(role) for role in OF_DATA}}
    conversion.is_batched = bool({"batch", "data"} & set(arguments.values()))
    inputs = {name: x if role == "x" else Given(role) for name, role in arguments.items()}
    conversion.ends = layers_that_end(graph, conversion.network)
    output = convert(graph, conversion, inputs)
    if isinstance(output, Rows):
        return Ended(conversion.coded(output), (), None)
    if not isinstance(output, Ended):
        raise UnsupportedModel(
            f"{type(conversion.network).__name__}: returns something else than one tensor; return its rows alone"
        )
    return output


def decides_by_batch(
    network: nn.Module, graph: fx.Graph, arguments: Mapping[str, str], fixed: Mapping[str, Any]
) -> bool:
    """Whether a network with an optional batch calls other layers or pools without it: as traced, it was given one."""
    parameters = inspect.signature(network.forward).parameters
    name = next((name for name, role in arguments.items() if role == "batch"), None)
    if name is None or parameters[name].default is inspect.Parameter.empty:
        return False
    try:
        without = trace(network, {**fixed, name: parameters[name].default})
    except UnsupportedModel:
        return False  # nor would it run without
    return layers_called(without) != layers_called(graph)


def degrees_of(edge_index: Tensor, num_nodes: int, batch: Tensor | None) -> Tensor:
    """Returns `degree_cdf` of a batch, or of a graph, where it is cached while `edge_index` lives."""
    Graph.of(edge_index, num_nodes)  # looks at the edges, and is what the layers ask for next
    if batch is not None:
        check_batch(batch, num_nodes)
        return degree_cdf(edge_index, num_nodes, batch)
    known: Tensor | None = _DEGREES.get(edge_index)
    if known is not None and len(known) == num_nodes:
        return known
    return _DEGREES.put(edge_index, degree_cdf(edge_index, num_nodes))


def prepare(
    network: nn.Module,
    scheme: QuantScheme | str | None = None,
    *,
    strict: bool = True,
    edge_weight: bool | None = None,
) -> PreparedNetwork:
    """Makes a quantized network of one that uses layers of torch and PyG; the given one is left alone.

    Its weights are taken over exactly: in FP32 it computes what the given network computes. Sites are called by the
    paths of the given network's modules, as in `convs.0.weights`.

    Args:
        network: its forward takes x and edge_index, and may take batch; or a `data` with these.
        scheme: what is quantized how; the name of a scheme such as `dq_int8`; None: FP32.
        strict: whether what cannot be converted is refused. Else it is left in FP32 and a warning names it: such a
            network is trained and compared, but has no program.
        edge_weight: whether weights of edges will be given to a forward that takes them with a default, such as those
            of PyG's models; None: no.

    Returns:
        The network, in training or in evaluation as the given one is. Train it as that one, or set its ranges by
        `calibrate`; its `lower()` is the integer program.

    Raises:
        UnsupportedModel: for what cannot be converted: where it is, and what to do.
        ValueError: for an unknown scheme, or rules for single sites that change nothing.
    """
    prepared = PreparedNetwork(network, scheme_of(scheme), strict=strict, edge_weight=edge_weight)
    warn_of_remarks(prepared)
    check_scheme(prepared, prepared.scheme)
    return prepared
