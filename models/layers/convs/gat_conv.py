"""Graph attention convolutions: GAT and GATv2."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from models.layers.convs.attention import AttentionConv, of_sources
from models.layers.convs.base import Sent
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.layers.products import matmul
from models.quantization.builder import ProgramBuilder, Ref, codes_of
from models.quantization.sites import Sites
from models.quantization.sparse import Features

AttentionStart = Literal["joint", "separate"]
"""What the first values of a GAT's two attention vectors are drawn from: see GATConv."""


class GATConv(AttentionConv):
    """Scores leaky_relu(a . h_source + b . h_target) with h = x W (Velickovic et al. 2018).

    Sites beside those of AttentionConv: `weights`, `features` (node), `attention` vectors (parameters, never
    protected), `alpha`, the logits before LeakyReLU (edge).

    `attention_start`: `joint` draws both vectors from one Xavier range, of the tensor [2, H, C]; `separate` each from
    that of [H, C], as PyG's GATConv does, which is 2 to 3 times as wide.

    Shapes:
        weight [F, H*C]; attention [2, H, C] (of source, of target); see also AttentionConv.
    """

    slope_of_softmax = None

    def __init__(self, *sizes: Any, attention_start: AttentionStart = "joint", **settings: Any) -> None:
        self.attention_start = attention_start
        super().__init__(*sizes, **settings)

    def make_weights(self, in_features: int, out_features: int, sites: Sites) -> None:
        """W and the vectors of sources and targets."""
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.attention = nn.Parameter(torch.empty(2, self.heads, out_features // self.heads))
        nn.init.xavier_uniform_(self.weight)
        for start in (self.attention,) if self.attention_start == "joint" else self.attention:
            nn.init.xavier_uniform_(start)

    def make_sites(self, sites: Sites) -> None:
        """See the class."""
        self.weights = sites.matrix("weight")
        self.features = sites.carried("features", "node")
        self.attention_vectors = sites.parameter("attention", "attention")
        self.alpha = sites("alpha", "edge")

    def send(self, own: Features, graph: Graph, protect: Tensor | None) -> Sent:
        """h, a . h and b . h."""
        h = self.features.carried(self.features(matmul(own, self.weights(self.weight)), protect))
        rows = h.view(graph.num_nodes, self.heads, -1)
        of_source, of_target = self.attention_vectors(self.carried_attention)
        return h, (rows * of_source).sum(-1), (rows * of_target).sum(-1)

    def restored(self, total: Tensor) -> Tensor:
        """See `AttentionConv`."""
        return self.features.restored(total)

    @property
    def carried_attention(self) -> Tensor:
        """The vectors [2, H, C] that give with what nodes send the scores of its values."""
        return self.features.restored(self.attention.flatten(1)).view_as(self.attention)

    def scores(self, of_source: Tensor, of_target: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        logits = graph.sources.gather(of_source) + graph.targets.gather(of_target)
        return leaky_relu(self.alpha(logits, of_sources(protect, graph)), self.negative_slope)

    def lower_scores(self, builder: ProgramBuilder, x: Ref) -> tuple[Ref, Ref]:
        """linear, attention_logits."""
        h = self.features.lower(builder, builder.linear(x, self.weight, self.weights))
        tensors = {
            role: builder.parameter(vector, self.attention_vectors, f".{role}")
            for role, vector in zip(("source", "target"), self.carried_attention, strict=True)
        }
        grids = {"attention_grid": self.attention_vectors.grid()}
        logits = builder.emit(
            "attention_logits",
            (h.carried,),
            self.alpha,
            self.heads,
            tensors=tensors,
            grids=grids,
            self_loops=self.self_loops,
        )
        return h, logits


class GATv2Conv(AttentionConv):
    """Scores a . leaky_relu(l_source + r_target) with l = x W_l + b_l and r = x W_r + b_r (Brody et al. 2022).

    Sites beside those of AttentionConv: `source.weights`, `source.features`, `target.weights`, `target.features`,
    `joined` (node: l and r side by side, on one grid, so that their sum is one of integers), `attention` vector
    (parameter), `alpha`, the scores (edge). The message is l. With `share_weights` r is l: there are no sites `target`
    and `joined`. `linear_bias`: whether there are b_l and b_r.

    Shapes:
        weights [F, H*C]; attention [H, C]; see also AttentionConv.
    """

    def __init__(self, *sizes: Any, share_weights: bool = False, linear_bias: bool = True, **settings: Any) -> None:
        self.share_weights, self.linear_bias = share_weights, linear_bias
        super().__init__(*sizes, **settings)

    def make_weights(self, in_features: int, out_features: int, sites: Sites) -> None:
        """The linear layers of sources and targets, and the vector."""
        make = partial(QuantLinear, in_features, out_features, bias=self.linear_bias)
        self.source = make(sites.child("source", spared=["inputs"]))
        self.target = None if self.share_weights else make(sites.child("target", spared=["inputs"]))
        self.attention = nn.Parameter(torch.empty(self.heads, out_features // self.heads))
        nn.init.xavier_uniform_(self.attention)

    def make_sites(self, sites: Sites) -> None:
        """See the class."""
        self.joined = None if self.share_weights else sites("joined", "node")
        self.attention_vectors = sites.parameter("attention", "attention")
        self.alpha = sites("alpha", "edge")

    def send(self, own: Features, graph: Graph, protect: Tensor | None) -> Sent:
        """l, and l and r as they lie on one grid."""
        left: Tensor = self.source(own, protect)
        if self.target is None or self.joined is None:
            return left, left, left
        both: Tensor = self.joined(torch.cat([left, self.target(own, protect)], 1), protect)
        of_source, of_target = both.chunk(2, 1)
        return left, of_source.contiguous(), of_target.contiguous()

    def scores(self, of_source: Tensor, of_target: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        total = graph.sources.gather(of_source) + graph.targets.gather(of_target)
        terms = leaky_relu(total.view(len(total), self.heads, -1), self.negative_slope)
        logits = (terms * self.attention_vectors(self.attention)).sum(-1)
        alpha: Tensor = self.alpha(logits, of_sources(protect, graph))
        return alpha

    def lower_scores(self, builder: ProgramBuilder, x: Ref) -> tuple[Ref, Ref]:
        """Two linears, concatenate onto one grid, dynamic_attention_logits of its two parts."""
        left = codes_of(self.source.lower(builder, x))
        of_source = of_target = left
        if self.target is not None and self.joined is not None:
            builder.quantize(builder.concatenate(left, self.target.lower(builder, x)), self.joined)
            of_source, of_target = (Ref(builder.values[f"{self.joined.name}.{i}"]) for i in (0, 1))
        logits = builder.dynamic_attention_logits(
            of_source,
            of_target,
            self.alpha,
            attention=self.attention,
            vectors=self.attention_vectors,
            negative_slope=self.negative_slope,
            self_loops=self.self_loops,
        )
        return left, logits
