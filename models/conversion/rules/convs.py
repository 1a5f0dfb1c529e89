"""What becomes of PyG's graph convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
import torch_geometric.nn as pyg
from torch import fx, nn

from models.conversion.conversion import Conversion, Form, Given, Rows, convert, layers_that_end
from models.conversion.errors import LAZY, UnsupportedModel
from models.conversion.rules.layers import Rule, require, take, take_linear
from models.conversion.tracing import trace
from models.layers import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv, WeightedConv
from models.layers.convs.attention import AttentionConv
from models.layers.convs.propagation import EdgeNorm, EdgeWeights, NeighbourSum, Propagation
from models.layers.convs.sage_conv import Aggregation
from models.layers.steps import INPUT
from models.layers.steps import Rows as RowSteps
from models.quantization.sites import Sites


def read(c: Conversion, node: fx.Node, module: Any, *others: str) -> Rows:
    """Returns the rows that a convolution reads, after a look at its other arguments.

    Args:
        others: names of the arguments behind x and edge_index; `edge_weight` may be given, see `is_weighted`.

    Raises:
        UnsupportedModel: for two kinds of nodes, changed edges, or edge attributes that it would be given.
    """
    path = str(node.target)
    given = arguments_of_call(c, node, *others)
    x, edges = given.pop("x"), given.pop("edge_index")
    given.pop("edge_weight", None)
    require(not isinstance(x, list), path, "reads rows of two kinds of nodes; give it one")
    changed = "reads other edges than the network is given; change them in the data instead"
    require(isinstance(edges, Given) and edges.role == "edge_index", path, changed)
    for name, value in given.items():
        require(value is None, path, f"is given {name}, which {type(module).__name__} does not take here yet")
    require(module.flow == "source_to_target", path, "sends messages from target to source; reverse the edges instead")
    rows = c.readable(c.rows(node, node.args[0]), keeps_dropout=True)
    if hasattr(module, "in_channels"):
        c.is_read(rows, width_of(module, path))
    return rows


LINEAR = ("lin", "lin_l", "lin_r", "lin_rel", "lin_root")
"""Names of what PyG's convolutions multiply rows by."""


def width_of(module: Any, path: str) -> int:
    """Returns how wide the rows are that a convolution reads; one that takes it from its first rows never notes it.

    Raises:
        UnsupportedModel: if it has seen no rows yet, or reads two widths.
    """
    if isinstance(module.in_channels, int) and module.in_channels > 0:
        return module.in_channels
    weights = [getattr(module, name).weight for name in LINEAR if getattr(module, name, None) is not None]
    lazy = any(isinstance(weight, nn.UninitializedParameter) for weight in weights)
    require(not lazy, path, LAZY)
    widths = {weight.shape[1] for weight in weights}
    require(len(widths) == 1, path, "reads rows of two kinds of nodes; give it one width")
    return int(widths.pop())


def arguments_of_call(c: Conversion, node: fx.Node, *others: str) -> dict[str, Any]:
    """Returns what the arguments of a convolution are, by their names."""
    values = [c.value(argument) for argument in node.args]
    named = {name: c.value(argument) for name, argument in node.kwargs.items()}
    return dict(zip(("x", "edge_index", *others), values, strict=False)) | named


def is_weighted(c: Conversion, node: fx.Node) -> bool:
    """Whether a convolution is given the weights of edges.

    Raises:
        UnsupportedModel: if it is given something else in their place.
    """
    weights = arguments_of_call(c, node, "edge_weight").get("edge_weight")
    if weights is None:
        return False
    reads_them = isinstance(weights, Given) and weights.role in ("edge_weight", "edge_attr")
    require(reads_them, str(node.target), "reads other weights of edges than the network is given")
    require(c.weights in (None, weights.role), str(node.target), "reads a second kind of weights of edges; use one")
    c.weights = weights.role
    return True


def gcn(c: Conversion, node: fx.Node, module: pyg.GCNConv) -> Rows:
    """Kipf & Welling 2017; `improved` acts on weighted edges only, as in PyG."""
    x, path, weighted = read(c, node, module, "edge_weight"), str(node.target), is_weighted(c, node)
    require(aggregation_of(module, path) == "sum", path, f"aggregates by {module.aggr}; use add")
    propagate: Callable[[Sites], Propagation]
    if module.normalize:
        loop_weight = 2.0 if module.improved and weighted else 1.0
        settings = {"self_loops": module.add_self_loops, "weighted": weighted, "loop_weight": loop_weight}
        propagate = partial(EdgeNorm, **settings)
    else:
        propagate = EdgeWeights if weighted else NeighbourSum
    conv = GCNConv(
        width_of(module, path),
        module.out_channels,
        c.sites_of_convolution(path, x),
        propagate=propagate,
        dropout=x.dropout,
        signed_inputs=x.signed,
        bias=module.bias is not None,
    )
    take(conv.weight, module.lin.weight.T)
    take(conv.bias, module.bias)
    return c.convolution(path, conv, x, module.out_channels, weighted=weighted)


def gat(c: Conversion, node: fx.Node, module: pyg.GATConv) -> Rows:
    """Velickovic et al. 2018."""
    conv, x = attention(c, node, module, GATConv)
    take(conv.weight, module.lin.weight.T)
    take(conv.attention, torch.stack([module.att_src, module.att_dst]))
    return attended(c, node, module, conv, x)


def gat_v2(c: Conversion, node: fx.Node, module: pyg.GATv2Conv) -> Rows:
    """Brody et al. 2022."""
    settings = {"share_weights": module.share_weights, "linear_bias": module.lin_l.bias is not None}
    conv, x = attention(c, node, module, partial(GATv2Conv, **settings))
    take_linear(conv.source, module.lin_l)
    if conv.target is not None:
        take_linear(conv.target, module.lin_r)
    take(conv.attention, module.att)
    return attended(c, node, module, conv, x)


Attention = TypeVar("Attention", bound=AttentionConv)


def attention(c: Conversion, node: fx.Node, module: Any, kind: Callable[..., Attention]) -> tuple[Attention, Rows]:
    """Our layer for one of PyG's attention layers, and what it reads."""
    x, path = read(c, node, module, "edge_attr", "size", "return_attention_weights"), str(node.target)
    require(module.edge_dim is None, path, "takes edge features; leave edge_dim out")
    require(aggregation_of(module, path) == "sum", path, f"aggregates by {module.aggr}; use add")
    conv = kind(
        width_of(module, path),
        module.heads * module.out_channels,
        c.sites_of_convolution(path, x),
        heads=module.heads,
        dropout=x.dropout,
        attention_dropout=module.dropout,
        signed_inputs=x.signed,
        bias=module.bias is not None,
        concat=module.concat,
        self_loops=module.add_self_loops,
        residual=module.res is not None,
        negative_slope=module.negative_slope,
    )
    take(conv.bias, module.bias)
    if conv.skip is not None:
        take_linear(conv.skip, module.res)
    return conv, x


def attended(c: Conversion, node: fx.Node, module: Any, conv: AttentionConv, x: Rows) -> Rows:  # noqa: PLR0917
    """Appends an attention layer."""
    width = module.out_channels * (module.heads if module.concat else 1)
    return c.convolution(str(node.target), conv, x, width)


AGGREGATIONS: Mapping[type, Aggregation] = {
    pyg.MeanAggregation: "mean",
    pyg.SumAggregation: "sum",
    pyg.MaxAggregation: "max",
}
"""What PyG makes of the names of aggregations, or is given in their place, and our names."""


def aggregation_of(module: Any, path: str) -> Aggregation:
    """What a convolution takes of its neighbours.

    Raises:
        UnsupportedModel: unless it is their mean, sum or maximum.
    """
    kind = type(module.aggr_module)
    known = kind in AGGREGATIONS and kind.forward is getattr(pyg, kind.__name__).forward
    require(known, path, f"aggregates by {module.aggr}; use mean, sum or max")
    return AGGREGATIONS[kind]


def sage(c: Conversion, node: fx.Node, module: pyg.SAGEConv) -> Rows:
    """Hamilton et al. 2017."""
    x, path = read(c, node, module, "size"), str(node.target)
    require(not module.project, path, "projects what it sends; put a linear layer before it and leave project out")
    return neighbours_and_root(c, path, x, module, module.lin_l, module.lin_r if module.root_weight else None)


def graph_conv(c: Conversion, node: fx.Node, module: pyg.GraphConv) -> Rows:
    """Morris et al. 2019."""
    x, path = read(c, node, module, "edge_weight", "size"), str(node.target)
    if not is_weighted(c, node):
        return neighbours_and_root(c, path, x, module, module.lin_rel, module.lin_root)
    summed = aggregation_of(module, path) == "sum"
    require(summed, path, f"aggregates weighted messages by {module.aggr}; use add")
    conv = WeightedConv(
        width_of(module, path),
        module.out_channels,
        c.sites_of_convolution(path, x),
        bias=module.lin_rel.bias is not None,
        dropout=x.dropout,
        signed_inputs=x.signed,
    )
    take_linear(conv.neighbours, module.lin_rel)
    take_linear(conv.root, module.lin_root)
    return c.convolution(path, conv, x, module.out_channels, weighted=True)


def neighbours_and_root(c: Conversion, path: str, x: Rows, module: Any, neighbours: Any, root: Any) -> Rows:  # noqa: PLR0917
    """A layer of in-neighbours' rows, and one of a node's own (None: without)."""
    conv = SAGEConv(
        width_of(module, path),
        module.out_channels,
        c.sites_of_convolution(path, x),
        aggregation=aggregation_of(module, path),
        normalize=getattr(module, "normalize", False),
        root=root is not None,
        bias=neighbours.bias is not None,
        dropout=x.dropout,
        signed_inputs=x.signed,
    )
    take_linear(conv.neighbours, neighbours)
    if conv.root is not None:
        take_linear(conv.root, root)
    return c.convolution(path, conv, x, module.out_channels)


class Held(nn.Module):
    """Gives the inner network of a layer the path that it has there."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.nn = network

    def forward(self, x: Any) -> Any:
        """Shapes: as the network's."""
        return self.nn(x)


def gin(c: Conversion, node: fx.Node, module: pyg.GINConv) -> Rows:
    """Xu et al. 2019; its network is converted too."""
    x, path = read(c, node, module, "size"), str(node.target)
    require(aggregation_of(module, path) == "sum", path, f"aggregates by {module.aggr}; use add")
    held = Held(module.nn)
    inner = Conversion(held, c.sites.scheme, c.rule_of, f"{c.sites.path}{path}.", strict=c.strict)
    graph = trace(held)
    inner.ends = layers_that_end(graph, held) if path in c.ends else frozenset()
    summed = Rows(INPUT, Form.OPERATION, path="nn", role="inputs", width=x.width, of_input=x.of_input)
    out = convert(graph, inner, {"x": summed})
    require(isinstance(out, Rows), f"{path}.nn", "returns something else than rows")
    c.left += inner.left
    require(not inner.masks, f"{path}.nn", "has graph convolutions; use them outside")
    out = inner.coded(out) if out.form is Form.OPERATION else inner.settled(out)
    conv = GINConv(
        RowSteps(inner.steps, inner.modules),
        c.sites_of_convolution(path, x),
        learn_eps=isinstance(module.eps, nn.Parameter),
        dropout=x.dropout,
        signed_inputs=x.signed,
        signed_outputs=out.signed,
    )
    take(conv.eps, module.eps)
    if inner.in_features is not None:
        c.is_read(x, inner.in_features)
    if out.width is None:
        raise UnsupportedModel(f"{path}.nn: has no layer")
    result = c.convolution(path, conv, x, out.width)
    return result


CONVOLUTIONS: dict[type, Rule] = {
    pyg.GCNConv: gcn,
    pyg.GATConv: gat,
    pyg.GATv2Conv: gat_v2,
    pyg.SAGEConv: sage,
    pyg.GraphConv: graph_conv,
    pyg.GINConv: gin,
}
