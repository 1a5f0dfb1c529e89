"""Builds steps of our layers from the calls of a traced network, and puts sites where codes are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from torch import fx, nn

from models.conversion.errors import SharedLayer, UnsupportedModel, place_of
from models.conversion.left import LeftAsIs, Slot, target_of
from models.layers.joins import Dropout
from models.layers.steps import Step, Steps
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import Domain, Part, QuantScheme
from models.quantization.sites import Role, Sites


class Form(Enum):
    """What the program has of rows when the next step reads them; see `ProgramBuilder`."""

    CODES = "codes on the grid of a site"
    FLOAT = "the network's own input"
    IDS = "the same, as one category of each node"
    RECTIFIED = "codes, and a ReLU that waits for the next site"
    ACTIVATION = "codes, and another activation that waits for it"
    AFFINE = "codes, and a factor and a summand per column that wait for it"
    CLAMPED = "the same, and a ReLU behind them: the clamp of a grid that begins at zero"
    OPERATION = "an op that waits for the grid of its result"


@dataclass(frozen=True)
class Rows:
    """Rows that a step reads or writes.

    Attributes:
        name: of the result.
        form: see `Form`.
        signed: whether entries may be negative.
        domain: whether they are of nodes or of graphs.
        width: their columns; None: unknown.
        mask: number of the mask of the last convolution on their way; None: there is none.
        path: of the step that wrote them.
        role: of the site that they get if they need one.
        dropout: probability of a dropout that waits for the layer that reads them.
        of_input: whether they are as wide as the features that the network reads.
    """

    name: str
    form: Form
    signed: bool = True
    domain: Domain = "node"
    width: int | None = None
    mask: int | None = None
    path: str = ""
    role: Role = "activated"
    dropout: float = 0.0
    of_input: bool = False


@dataclass(frozen=True)
class Given:
    """An argument of the network that is no rows, such as `edge_index`."""

    role: str


class Conversion:
    """Steps and modules collected so far, and the rows of every call.

    Args:
        network: the traced network, whose modules are read and not changed.
        scheme: what is quantized how.
        rule_of: finds what becomes of a call.
        prefix: the path of the network in that which is converted as a whole.
        strict: whether what has no rule is refused; else it is left in FP32.
    """

    def __init__(
        self,
        network: nn.Module,
        scheme: QuantScheme,
        rule_of: Callable[[Conversion, fx.Node], Any],
        prefix: str = "",
        *,
        strict: bool = True,
    ) -> None:
        self.strict = strict
        self.left: list[str] = []
        """Why parts are left in FP32."""
        self.network, self.sites, self.rule_of = network, Sites(scheme, prefix), rule_of
        self.ends: frozenset[str] = frozenset()
        """Paths of the layers that write the logits."""
        self.steps: list[Step] = []
        self.modules: dict[str, nn.Module] = {}
        self.known: dict[fx.Node, Any] = {}
        self.masks = 0
        self.in_features: int | None = None
        self.weights: str | None = None
        """The input that holds the weights of edges, if any layer reads them."""
        self.attributes: dict[str, Any] = {}
        """What the network may read of `data`."""
        self.casts_input = False
        """Whether the network takes numbers of any dtype, which it makes floats itself."""
        self.is_batched = False
        """Whether the network is given the graph of every node."""
        self.behind: dict[str, Rows] = {}
        """Rows at the site that was put behind them, by the name of the rows."""

    def value(self, argument: Any) -> Any:
        """Returns what an argument of a call is: rows, a given input, a list of such, or a constant."""
        if isinstance(argument, fx.Node):
            return self.known[argument]
        if isinstance(argument, (list, tuple)):
            return [self.value(part) for part in argument]
        return argument

    def rows(self, node: fx.Node, argument: Any, *, categories: bool = False) -> Rows:
        """Returns the rows that an argument of a call must be.

        Args:
            categories: whether they may be the network's input as one category of each node.

        Raises:
            UnsupportedModel: if it is something else.
        """
        rows = self.value(argument)
        if not isinstance(rows, Rows):
            what = f"the input {rows.role}" if isinstance(rows, Given) else repr(argument)
            raise UnsupportedModel(f"{place_of(node)}: reads {what} where rows of features are expected")
        if rows.form is Form.IDS and not categories:
            raise UnsupportedModel(f"{place_of(node)}: reads x as categories or reshaped, which only an embedding does")
        return rows

    def add_step(
        self, path: str, module: nn.Module, reads: list[Rows], result: Rows, *, mask: int | None = None, **flags: bool
    ) -> Rows:
        """Appends a step at a path, which is also the name of its result, and returns its rows.

        Raises:
            UnsupportedModel: if the path has a module with parameters already.
        """
        if path in self.modules:
            raise SharedLayer(f"{path}: is called twice; give each call a layer of its own")
        self.modules[path] = module
        self.steps.append(Step(path, tuple(rows.name for rows in reads), path, mask=mask, **flags))
        return replace(result, name=path, path=path)

    def add_call(self, path: str, name: str, reads: list[Rows], result: Rows) -> Rows:
        """Appends a step that runs the module at a path once more, under another name."""
        name = self.free_path(name)
        self.steps.append(Step(path, tuple(rows.name for rows in reads), name))
        return replace(result, name=name, path=name)

    def sites_of_layer(self, path: str, x: Rows) -> Sites:
        """Sites of a linear layer or an embedding that reads x: the first, the last, or behind a pool, it is that part.

        In the network of a convolution only what it writes may be of another part.
        """
        if self.sites.path:
            return self.sites.child(path, roles={"features": "last"} if path in self.ends else None)
        is_last = x.domain == "graph" or path in self.ends
        return self.sites.child(path, "last" if is_last else "first" if x.of_input else "trunk")

    def sites_of_convolution(self, path: str, x: Rows) -> Sites:
        """Sites of a convolution that reads x: of the first `inputs` are in that part, of the last what it writes."""
        roles: dict[Role, Part] = {"inputs": "first"} if x.of_input else {}
        written: dict[Role, Part] = {"update": "last", "normalized": "last"} if path in self.ends else {}
        return self.sites.child(path, roles=roles | written)

    def is_read(self, x: Rows, width: int) -> None:
        """Remembers that a layer reads `width` columns: of the input, that is the width of the network's features."""
        if x.of_input:
            self.in_features = width

    def convolution(self, path: str, conv: nn.Module, x: Rows, width: int, *, weighted: bool = False) -> Rows:
        """Appends a convolution: it has a mask of its own."""
        result = Rows(path, Form.CODES, signed=True, domain="node", width=width, mask=self.masks)
        rows = self.add_step(path, conv, [x], result, graph=True, weighted=weighted, mask=self.masks)
        self.masks += 1
        return rows

    def coded(self, x: Rows) -> Rows:
        """Returns the rows on the grid of a site of their own, which is put behind them unless they have one."""
        x = self.settled(x)
        if x.form is Form.CODES:
            return x
        if x.name not in self.behind:
            path, taken = x.path, {site.name for site in self.modules.values() if isinstance(site, Site)}
            while f"{self.sites.path}{path}.{x.role}" in taken:  # rows and what a dropout makes of them have one path
                path += "_"
            site = self.sites.child(path)(x.role, x.domain, signed=x.signed)
            mask = x.mask if x.domain == "node" else None
            coded = self.add_step(self.free_path(f"{x.path}_{x.role}"), site, [x], x, mask=mask)
            self.behind[x.name] = replace(coded, form=Form.CODES, path=x.path)
        return self.behind[x.name]

    def settled(self, x: Rows) -> Rows:
        """Returns the rows behind a step for the dropout that waits."""
        if not x.dropout:
            return x
        step = self.add_step(self.free_path(f"{x.path}_dropout"), Dropout(x.dropout), [x], x)
        return replace(step, path=x.path, dropout=0.0)

    def free_path(self, path: str) -> str:
        """Returns the path, made another one if there are modules in the network or in the steps by its name."""
        taken = {name for name, _ in self.network.named_modules()} | {step.result for step in self.steps}
        taken |= self.modules.keys() | set(dir(Steps))
        while path in taken:
            path += "_"
        return path

    def readable(self, x: Rows, *, keeps_dropout: bool = False, signed: bool | None = None) -> Rows:
        """Returns the rows as a layer with a site of its own can read them.

        Args:
            keeps_dropout: whether that layer applies the dropout that waits.
            signed: whether its site has a grid for negative numbers; None: as the rows are.
        """
        x = x if keeps_dropout else self.settled(x)
        needs_zero = x.form is Form.CLAMPED and (x.signed if signed is None else signed)
        return self.coded(x) if needs_zero else x


def convert(graph: fx.Graph, conversion: Conversion, inputs: Mapping[str, Any]) -> Any:
    """Applies the rules of all calls in order; returns what is known of the output.

    Args:
        inputs: what each placeholder is.
    """
    for node in graph.nodes:
        if node.op == "placeholder":
            if node.target not in inputs:
                raise UnsupportedModel(
                    f"{type(conversion.network).__name__}.forward: reads {node.target}; name its arguments"
                )
            conversion.known[node] = inputs[node.target]
        elif node.op == "output":
            return conversion.value(node.args[0])
        else:
            conversion.known[node] = known_of(conversion, node)
    raise AssertionError("a traced graph ends with its output")


def layers_that_end(graph: fx.Graph, network: nn.Module) -> frozenset[str]:
    """Returns the paths of the modules with weights behind which a traced network has no others."""
    left, found = [node for node in graph.nodes if node.op == "output"], set()
    while left:
        for node in left.pop().all_input_nodes:
            if node.op == "call_module" and any(True for _ in network.get_submodule(str(node.target)).parameters()):
                found.add(str(node.target))
            else:
                left.append(node)
    return frozenset(found)


def known_of(c: Conversion, node: fx.Node) -> Any:
    """Returns what is known of the result of a call; what has no rule stays as it is, unless that is refused.

    Raises:
        UnsupportedModel: if it is refused; in any case for a layer with weights that is called twice.
    """
    try:
        return c.rule_of(c, node)
    except SharedLayer:
        raise
    except UnsupportedModel as reason:
        if c.strict:
            raise
        c.left.append(str(reason))
        return leave(c, node, str(reason))


def leave(c: Conversion, node: fx.Node, reason: str) -> Rows:
    """Appends a call as it is, in FP32."""
    reads: list[Rows] = []

    def slot(argument: fx.Node) -> Any:
        known = c.known[argument]
        if isinstance(known, Given):
            return Slot(known.role)
        if not isinstance(known, Rows):
            raise UnsupportedModel(f"{place_of(node)}: reads what the network returns")
        c.rows(node, argument)
        reads.append(c.settled(known))
        return Slot(len(reads) - 1)

    args, kwargs = (fx.node.map_arg(part, slot) for part in (node.args, node.kwargs))
    path = str(node.target) if node.op == "call_module" else c.free_path(node.name)
    target = target_of(c.network, node)
    width = getattr(target, "in_channels", getattr(target, "in_features", None))
    if reads and isinstance(width, int) and width > 0:
        c.is_read(reads[0], width)
    masks = [rows.mask for rows in reads if rows.mask is not None]
    domain = reads[0].domain if reads else "node"
    result = Rows(path, Form.OPERATION, domain=domain, mask=max(masks, default=None))
    return c.add_step(path, LeftAsIs(target, args, kwargs, reason), reads, result, given=True)
