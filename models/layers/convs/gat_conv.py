"""Graph attention convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch_geometric.utils import softmax

from models.layers.convs.base import Conv
from models.layers.functional import drop, dropout_factor
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.layers.messages import sum_messages
from models.layers.products import matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites
from models.quantization.sparse import Features

NEGATIVE_SLOPE = 0.2
"""Of the LeakyReLU on the logits (Velickovic et al. 2018)."""


class GATConv(Conv):
    """Multi-head attention over in-neighbours and oneself (Velickovic et al. 2018), heads concatenated or averaged.

    Without `self_loops` over in-neighbours alone. With `residual` a linear layer of x, the sublayer `skip`, is added
    behind `update`, at a site `residual`. `out_features` is H*C.

    Sites as in Tailor et al. 2021: `inputs`, `features` (node), `weights`, `attention` vectors (parameters,
    never protected), `alpha` logits before LeakyReLU and softmax (edge), `message` (edge), `aggregate`,
    `update` (node). The softmax itself stays in float32. `dropout` acts on the quantized inputs and,
    as `attention_dropout`, on the quantized messages of an edge and head together.

    Shapes:
        x [N, F] dense or sparse; weight [F, H*C]; attention [2, H, C] (of source, of target);
        protect [N] bool or None; result [N, H*C], of averaged heads [N, C].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        heads: int = 1,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        signed_inputs: bool = True,
        bias: bool = True,
        concat: bool = True,
        self_loops: bool = True,
        residual: bool = False,
        negative_slope: float = NEGATIVE_SLOPE,
    ) -> None:
        super().__init__()
        if out_features % heads:
            raise ValueError(f"GATConv: {out_features} output features do not divide into {heads} heads")
        self.heads, self.dropout, self.attention_dropout = heads, dropout, attention_dropout
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.attention = nn.Parameter(torch.empty(2, heads, out_features // heads))
        self.averaged = 1 if concat else heads
        self.self_loops, self.negative_slope = self_loops, negative_slope
        width = out_features // self.averaged
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        nn.init.xavier_uniform_(self.weight)
        nn.init.xavier_uniform_(self.attention)
        self.inputs = sites("inputs", "node", signed=signed_inputs)
        self.weights = sites.matrix("weight")
        self.features = sites("features", "node")
        self.attention_vectors = sites.parameter("attention", "attention")
        self.alpha = sites("alpha", "edge")
        self.message = sites("message", "edge")
        self.aggregate = sites("aggregate", "node")
        self.update = sites("update", "node")
        own = sites.child("skip")
        self.skip = QuantLinear(in_features, width, own, bias=False, reads_codes=True) if residual else None
        self.residual = sites("residual", "node") if residual else None

    @property
    def output_site(self) -> Site:
        """The site of its result."""
        return self.update if self.residual is None else self.residual

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """See the class."""
        graph = graph.with_self_loops if self.self_loops else graph
        protect_source = None if protect is None else protect.index_select(0, graph.source)
        x = drop(self.inputs(x, protect), self.dropout, training=self.training)
        h = self.features(matmul(x, self.weights(self.weight)), protect)
        h = h.view(graph.num_nodes, self.heads, -1)
        of_source, of_target = self.attention_vectors(self.attention)
        logits = graph.sources.gather((h * of_source).sum(-1)) + graph.targets.gather((h * of_target).sum(-1))
        logits = leaky_relu(self.alpha(logits, protect_source), self.negative_slope)
        coefficient = softmax(logits, graph.target, num_nodes=graph.num_nodes)
        factor = dropout_factor(coefficient, self.attention_dropout, training=self.training)
        messages = sum_messages(graph, coefficient, h.flatten(1), self.message, protect=protect_source, factor=factor)
        aggregate = self.aggregate(messages, protect)
        if self.averaged > 1:
            aggregate = aggregate.view(graph.num_nodes, self.heads, -1).mean(1)
        y: Tensor = self.update(aggregate if self.bias is None else aggregate + self.bias, protect)
        if self.skip is None or self.residual is None:
            return y
        total: Tensor = y + self.skip(x, protect)
        return self.residual(total, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """quantize, linear, attention_logits, edge_softmax, weighted_sum, requantize."""
        x = builder.quantize(x, self.inputs)
        h = builder.linear(x, self.weight, self.weights, self.features)
        tensors = {
            role: builder.parameter(vector, self.attention_vectors, f".{role}")
            for role, vector in zip(("source", "target"), self.attention, strict=True)
        }
        grids = {"attention_grid": self.attention_vectors.grid()}
        logits = builder.emit(
            "attention_logits", (h,), self.alpha, self.heads, tensors=tensors, grids=grids, self_loops=self.self_loops
        )
        coefficient = builder.edge_softmax(logits, self.negative_slope, self_loops=self.self_loops)
        aggregate = builder.weighted_sum(coefficient, h, self.message, self.aggregate, self_loops=self.self_loops)
        y = builder.requantize(aggregate, self.update, self.bias, heads=self.averaged)
        if self.skip is None or self.residual is None:
            return y
        return builder.quantize(builder.add(y, self.skip.lower(builder, x)), self.residual)
