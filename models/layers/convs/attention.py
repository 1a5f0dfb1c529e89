"""What graph attention layers share: heads, messages weighted by softmax, what is done with their sum."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.convs.base import Conv, Sent
from models.layers.functional import dropout_factor
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.layers.messages import softmax_of_edges, sum_messages
from models.quantization.builder import Deferred, ProgramBuilder, Ref, codes_of
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites
from models.quantization.sparse import Features

NEGATIVE_SLOPE = 0.2
"""Of the LeakyReLU in the scores (Velickovic et al. 2018)."""


class AttentionConv(Conv):
    """Multi-head attention over in-neighbours and oneself, heads concatenated or averaged.

    Without `self_loops` over in-neighbours alone. With `residual` a linear layer of x is added behind `update`, in the
    sublayer `skip`, at a site `residual`. `out_features` is H*C.

    Sites as in Tailor et al. 2021: `inputs` (node), those of the scores, `message` (edge), `aggregate`, `update`
    (node). The softmax itself stays in float32. `dropout` acts on the quantized inputs and, as `attention_dropout`, on
    the quantized messages of an edge and head together.

    Shapes:
        x [N, F] dense or sparse; protect [N] bool or None; result [N, H*C], of averaged heads [N, C].
    """

    slope_of_softmax: ClassVar[float | None] = 1.0
    """Of the LeakyReLU that the program's softmax applies to its logits; None: that of the layer."""

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
            raise ValueError(f"{type(self).__name__}: {out_features} output features do not divide into {heads} heads")
        self.heads, self.dropout, self.attention_dropout = heads, dropout, attention_dropout
        self.self_loops, self.negative_slope = self_loops, negative_slope
        self.make_weights(in_features, out_features, sites)
        self.averaged = 1 if concat else heads
        width = out_features // self.averaged
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.inputs = sites.unless_spared("inputs", "node", signed=signed_inputs)
        self.make_sites(sites)
        self.message = sites("message", "edge")
        self.aggregate = sites.unless_spared("aggregate", "node") if concat else sites("aggregate", "node")
        self.update = sites.unless_spared("update", "node")
        own = sites.child("skip", spared=["inputs"])
        self.skip = QuantLinear(in_features, width, own, bias=False) if residual else None
        self.residual = sites("residual", "node") if residual else None

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return (self.update if self.residual is None else self.residual).output_site

    @abstractmethod
    def make_weights(self, in_features: int, out_features: int, sites: Sites) -> None:
        """Makes the parameters of rows and scores."""

    @abstractmethod
    def make_sites(self, sites: Sites) -> None:
        """Makes the sites of rows and scores."""

    @property
    def keeps_own(self) -> bool:
        """For the residual alone."""
        return self.skip is not None

    def looped(self, graph: Graph) -> Graph:
        """With one self-loop a node, unless there are none."""
        return graph.with_self_loops if self.self_loops else graph

    @abstractmethod
    def send(self, own: Features, graph: Graph, protect: Tensor | None) -> Sent:
        """The message of a node [N, H*C], and what scores are made of, for it as a source and as a target."""

    @abstractmethod
    def scores(self, of_source: Tensor, of_target: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """The logits of edges and heads [E, H] that the softmax takes, made of what nodes send."""

    @abstractmethod
    def lower_scores(self, builder: ProgramBuilder, x: Ref) -> tuple[Ref, Ref]:
        """The same in the program, where LeakyReLU may be left to the softmax."""

    def restored(self, total: Tensor) -> Tensor:
        """The values of sums of what nodes send [N, H*C]."""
        return total

    def receive(self, own: Features, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        h, of_source, of_target = sent
        logits = self.scores(of_source, graph.own(of_target), graph, protect)
        coefficient = softmax_of_edges(logits, graph)
        factor = dropout_factor(coefficient, self.attention_dropout, training=self.training)
        protect_source = of_sources(protect, graph)
        messages = sum_messages(graph, coefficient, h, self.message, protect=protect_source, factor=factor)
        aggregate = self.aggregate(self.restored(messages), protect)
        if self.averaged > 1:
            aggregate = aggregate.view(graph.num_nodes, self.heads, -1).mean(1)
        y: Tensor = self.update(aggregate if self.bias is None else aggregate + self.bias, protect)
        if self.skip is None or self.residual is None:
            return y
        total: Tensor = y + self.skip(own, protect)
        return self.residual(total, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, the ops of the scores, edge_softmax, weighted_sum; requantize; linear and add of a residual."""
        x = codes_of(self.inputs.lower(builder, x))
        h, logits = self.lower_scores(builder, x)
        slope = self.negative_slope if self.slope_of_softmax is None else self.slope_of_softmax
        coefficient = builder.edge_softmax(logits, slope, self_loops=self.self_loops)
        total = builder.weighted_sum(coefficient, h, self.message, self_loops=self.self_loops)
        y = self.update.lower(builder, self._lower_end(builder, self.aggregate.lower(builder, total)))
        if self.skip is None or self.residual is None:
            return y
        return builder.quantize(builder.add(y, self.skip.lower(builder, x)), self.residual)

    def _lower_end(self, builder: ProgramBuilder, aggregate: Ref | Deferred) -> Deferred:
        """The bias, and the mean over the heads, which is of codes."""
        if self.averaged > 1:
            return builder.requantize(codes_of(aggregate), self.bias, heads=self.averaged)
        return builder.shift(aggregate, self.bias)


def of_sources(protect: Tensor | None, graph: Graph) -> Tensor | None:
    """The mask of the sources of edges [E]."""
    return None if protect is None else protect.index_select(0, graph.source)
