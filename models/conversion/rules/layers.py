"""What becomes of the layers of torch and PyG: for each of their classes the layer of ours that takes its weights."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, fx, nn

from models.conversion.conversion import Conversion, Form, Given, Rows
from models.conversion.errors import LAZY, UnsupportedModel, place_of
from models.conversion.rules.joins import joined, pooled_rows
from models.layers import Activation, BatchNorm, Embedding, Normalize, QuantLinear
from models.layers.joins import Pool
from models.layers.norm import Over

Rule = Callable[[Conversion, fx.Node, Any], Any]


def take(ours: Tensor | None, theirs: Tensor | None) -> None:
    """Copies a parameter, if there is one, with its dtype and device, in the shape of ours."""
    if ours is not None and theirs is not None:
        ours.data = theirs.detach().reshape(ours.shape).clone(memory_format=torch.contiguous_format)
        if isinstance(ours, nn.Parameter):
            ours.requires_grad_(theirs.requires_grad)  # what is frozen stays so


def take_linear(ours: QuantLinear, theirs: Any) -> None:
    """Copies the weights of a linear layer: ours are [F, F'], theirs [F', F]."""
    take(ours.weight, theirs.weight.T)
    take(ours.bias, theirs.bias)


def require(holds: bool, where: str, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raises UnsupportedModel unless something holds."""
    if not holds:
        raise UnsupportedModel(f"{where}: {sentence}")


def linear(c: Conversion, node: fx.Node, module: Any) -> Rows:
    """A linear layer: it has a site for what it reads and one for what it writes."""
    x, path = c.readable(c.rows(node, node.args[0]), keeps_dropout=True), str(node.target)
    require(not isinstance(module.weight, nn.UninitializedParameter), path, LAZY)
    layer = QuantLinear(
        module.weight.shape[1],
        module.weight.shape[0],
        c.sites_of_layer(path, x),
        bias=module.bias is not None,
        signed_inputs=x.signed,
        dropout=x.dropout,
        domain=x.domain,
    )
    take_linear(layer, module)
    c.is_read(x, module.weight.shape[1])
    result = Rows(path, Form.CODES, signed=True, domain=x.domain, width=module.weight.shape[0], mask=x.mask)
    return c.add_step(path, layer, [x], result)


def embedding(c: Conversion, node: fx.Node, module: nn.Embedding) -> Rows:
    """A table of rows, by categories that the network is given."""
    x, path = c.rows(node, node.args[0], categories=True), str(node.target)
    require(x.form in (Form.FLOAT, Form.IDS), path, "embeds something else than the categories that the network reads")
    require(module.max_norm is None, path, "has max_norm; leave it out")
    require(not module.scale_grad_by_freq, path, "has scale_grad_by_freq; leave it out")
    sites = c.sites_of_layer(path, x)
    layer = Embedding(module.num_embeddings, module.embedding_dim, sites, padding=module.padding_idx)
    take(layer.weight, module.weight)
    c.is_read(x, module.num_embeddings)
    result = Rows(path, Form.CODES, signed=True, domain="node", width=module.embedding_dim)
    return c.add_step(path, layer, [x], result)


def batch_norm(c: Conversion, node: fx.Node, module: Any) -> Rows:
    """BatchNorm, of torch or of PyG: folded at export."""
    x, path = c.settled(c.rows(node, node.args[0])), str(node.target)
    theirs: nn.BatchNorm1d = getattr(module, "module", module)
    require(theirs.track_running_stats, path, "tracks no statistics; set track_running_stats")
    require(not getattr(module, "allow_single_element", False), path, "allows single elements; leave that out")
    x = x if x.form in (Form.CODES, Form.RECTIFIED) else c.coded(x)
    layer = BatchNorm(theirs.num_features, theirs.eps, theirs.momentum, theirs.affine)
    layer.to(theirs.running_mean).load_state_dict(theirs.state_dict())
    for ours, given in zip(layer.parameters(), theirs.parameters(), strict=True):
        ours.requires_grad_(given.requires_grad)
    c.is_read(x, theirs.num_features)
    result = replace(x, form=Form.AFFINE, signed=True, role="normalized")
    return c.add_step(path, layer, [x], result)


def layer_norm(c: Conversion, node: fx.Node, module: Any) -> Rows:
    """LayerNorm of every row: torch's, and PyG's with mode "node"; or PyG's over graphs."""
    path = str(node.target)
    if isinstance(module, nn.LayerNorm):
        require(len(module.normalized_shape) == 1, path, "normalises more than the last dimension; give it one width")
        return normalized(c, node, module, Normalize(module.normalized_shape[0], eps=module.eps))
    over = "row" if module.mode == "node" else over_of(c, node)
    return normalized(c, node, module, Normalize(module.in_channels, over, eps=module.eps, eps_beside=over != "row"))


def graph_norm(c: Conversion, node: fx.Node, module: pyg.GraphNorm) -> Rows:
    """Cai et al. 2021."""
    over = over_of(c, node)
    layer = Normalize(module.in_channels, over, eps=module.eps, per_column=True, learns_share=True)
    return normalized(c, node, module, layer)


def instance_norm(c: Conversion, node: fx.Node, module: pyg.InstanceNorm) -> Rows:
    """Every column of every graph."""
    require(not module.track_running_stats, str(node.target), "tracks statistics; leave track_running_stats out")
    layer = Normalize(module.num_features, over_of(c, node), eps=module.eps, per_column=True)
    return normalized(c, node, module, layer)


def over_of(c: Conversion, node: fx.Node) -> Over:
    """Whether a layer normalises the nodes of each graph, which its call says by `batch`, or all."""
    batch = c.value(node.kwargs.get("batch", node.args[1] if len(node.args) > 1 else None))
    known = batch is None or (isinstance(batch, Given) and batch.role == "batch")
    require(known, str(node.target), "normalises by something else than the network's batch")
    return "all" if batch is None else "graph"


def normalized(c: Conversion, node: fx.Node, module: Any, layer: Normalize) -> Rows:
    """Appends a layer that normalises rows on a grid, with the parameters that the given one has."""
    path, x = str(node.target), c.coded(c.rows(node, node.args[0]))
    require(layer.over == "row" or x.domain == "node", path, "normalises rows of graphs by graph; use nn.LayerNorm")
    require(layer.eps > 0, path, "has an eps of 0; give it a positive one")
    for name in ("weight", "bias", "mean_scale"):
        theirs = getattr(module, name, None)
        if theirs is None:
            setattr(layer, name, None)
        else:
            take(getattr(layer, name), theirs)
    c.is_read(x, layer.width)
    result = replace(x, form=Form.OPERATION, signed=True, role="normalized")
    return c.add_step(path, layer, [x], result, graphs=layer.over == "graph", given=layer.eps_beside)


def activation(c: Conversion, node: fx.Node, function: Any) -> Rows:
    """A function of each entry: a table or, of a ReLU behind a BatchNorm, a clamp at the next site."""
    return activated(c, node, c.rows(node, node.args[0]), function)


UNSIGNED = {"ReLU", "ReLU6", "Sigmoid", "Hardsigmoid", "Softplus"}


def module_activation(c: Conversion, node: fx.Node, module: nn.Module) -> Rows:
    """An activation of torch.nn."""
    name, copy = type(module).__name__, deepcopy(module)
    one_slope = getattr(module, "num_parameters", 1) == 1
    require(one_slope, str(node.target), "has a slope a column, which no program has; leave num_parameters out")
    if hasattr(copy, "inplace"):
        copy.inplace = False  # type: ignore[assignment]
    function: Any = torch.relu if name == "ReLU" else copy
    return activated(c, node, c.rows(node, node.args[0]), Activation(function, signed=name not in UNSIGNED))


def activated(c: Conversion, node: fx.Node, x: Rows, layer: Activation) -> Rows:
    """Appends an activation of rows."""
    x, rectifies = c.settled(x), layer.function is torch.relu
    if rectifies and x.form in (Form.RECTIFIED, Form.CLAMPED):
        return x
    forms = {Form.CODES: Form.RECTIFIED if rectifies else Form.ACTIVATION}
    if rectifies:
        forms[Form.AFFINE] = Form.CLAMPED
    if x.form not in forms:
        x = c.coded(x)
    result = replace(x, form=forms[x.form], signed=layer.signed)
    if x.form is not Form.AFFINE:
        result = replace(result, role="activated")
    path = str(node.target) if node.op == "call_module" else c.free_path(node.name)
    if path in c.modules:  # the same activation at several places, with the same slope if it learns one
        return c.add_call(path, node.name, [x], result)
    return c.add_step(path, layer, [x], result)


def identity(c: Conversion, node: fx.Node, module: nn.Module) -> Any:
    """What it is given."""
    return c.value(node.args[0])


def dropout(c: Conversion, node: fx.Node, module: nn.Dropout) -> Rows:
    """A dropout of torch.nn."""
    return dropped(c, node, module.p)


def functional_dropout(c: Conversion, node: fx.Node) -> Rows:
    """`F.dropout`: off in evaluation, or refused."""
    calls = (node.args, node.kwargs), node.meta["evaluation"] or ((), {"training": False})
    here, there = (dict(zip(("input", "p", "training"), args, strict=False)) | dict(kwargs) for args, kwargs in calls)
    if there.get("training", True):
        raise UnsupportedModel(f"{place_of(node)}: drops in evaluation too; pass training=self.training")
    return dropped(c, node, here.get("p", 0.5) if here.get("training", True) else 0.0)


def dropped(c: Conversion, node: fx.Node, p: float) -> Rows:
    """Rows with a dropout that waits for the one layer that reads them; a step of its own if there are several."""
    x = c.settled(c.rows(node, node.args[0]))
    x = replace(x, dropout=float(p))
    return x if times_read(node) == 1 else c.settled(x)


def times_read(node: fx.Node) -> int:
    """How often calls read a result; one call may do so twice."""
    found: list[fx.Node] = []
    for user in node.users:
        fx.node.map_arg((user.args, user.kwargs), found.append)
    return found.count(node)


def jumping_knowledge(c: Conversion, node: fx.Node, module: pyg.JumpingKnowledge) -> Rows:
    """Rows of all layers side by side, or the largest of them."""
    require(module.mode in ("cat", "max"), str(node.target), f"mode {module.mode!r} is unknown; use cat or max")
    return joined(c, node, node.args[0], "concatenate" if module.mode == "cat" else "maximum")


def aggregation(c: Conversion, node: fx.Node, module: Any) -> Rows:
    """An aggregation over the nodes of every graph."""
    pools: dict[type, Pool] = {pyg.MeanAggregation: "mean", pyg.SumAggregation: "sum", pyg.MaxAggregation: "max"}
    return pooled_rows(c, node, next(pool for kind, pool in pools.items() if isinstance(module, kind)))


ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.LeakyReLU, nn.PReLU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Softsign, nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Tanhshrink,
    nn.Softshrink, nn.Hardshrink, nn.Threshold,
)  # fmt: skip

LAYERS: dict[type, Rule] = {
    nn.Linear: linear,
    pyg.Linear: linear,
    nn.Embedding: embedding,
    nn.BatchNorm1d: batch_norm,
    pyg.BatchNorm: batch_norm,
    nn.LayerNorm: layer_norm,
    pyg.LayerNorm: layer_norm,
    pyg.GraphNorm: graph_norm,
    pyg.InstanceNorm: instance_norm,
    nn.Identity: identity,
    nn.Dropout: dropout,
    pyg.JumpingKnowledge: jumping_knowledge,
    pyg.SumAggregation: aggregation,
    pyg.MeanAggregation: aggregation,
    pyg.MaxAggregation: aggregation,
    **dict.fromkeys(ACTIVATIONS, module_activation),
}
