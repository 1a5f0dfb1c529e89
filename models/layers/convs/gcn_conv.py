"""Graph convolution in its exact integer forms."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.layers.convs.base import Conv
from models.layers.functional import drop, sum_neighbours
from models.layers.graph import Graph
from models.layers.messages import sum_messages
from models.layers.products import matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class EdgeNorm(nn.Module):
    """The paper's form: every message is multiplied by its edge's coefficient d_i^-1/2 d_j^-1/2.

    Sites: `features` (node), `norm` (edge coefficients, never protected), `message` (edge), `aggregate` (node).
    """

    def __init__(self, sites: Sites, *, self_loops: bool) -> None:
        super().__init__()
        self.self_loops = self_loops
        self.features = sites("features", "node")
        self.norm = sites("norm", "edge", signed=False)
        self.message = sites("message", "edge")
        self.aggregate = sites("aggregate", "node")

    def forward(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """Shapes: h [N, F']; protect [N] or None; result [N, F']."""
        graph = graph.with_self_loops if self.self_loops else graph
        h = self.features(h, protect)
        coefficient = self.norm(graph.symmetric_norm)
        protect_source = None if protect is None else protect.index_select(0, graph.source)
        messages = sum_messages(graph, coefficient[:, None], h, self.message, protect=protect_source)
        return self.aggregate(messages, protect)

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref:
        """linear, edge_norm, weighted_sum."""
        h = builder.linear(x, weight, weights, self.features)
        norm = builder.emit("edge_norm", (), self.norm, 1, self_loops=self.self_loops)
        return builder.weighted_sum(norm, h, self.message, self.aggregate, self_loops=self.self_loops)


class FactoredNorm(nn.Module):
    """The same operator as D^-1/2 (A (D^-1/2 X W)): messages are the quantized features, their sum is integer.

    Sites: `features` (node, behind the first D^-1/2), `aggregate` (node, behind the second).

    Raises:
        ValueError: without self-loops.
    """

    def __init__(self, sites: Sites, *, self_loops: bool) -> None:
        super().__init__()
        if not self_loops:
            raise ValueError("norm: the factored form needs self-loops; use the edge form")
        self.features = sites("features", "node")
        self.aggregate = sites("aggregate", "node")

    def forward(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """Shapes: h [N, F']; protect [N] or None; result [N, F']."""
        graph = graph.with_self_loops
        factor = graph.inverse_sqrt_degree[:, None]
        h = self.features(h * factor, protect)
        return self.aggregate(sum_neighbours(graph, h) * factor, protect)

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref:
        """linear and sum, each with the degree in its epilogue."""
        h = builder.linear(x, weight, weights, self.features, row_scale="inverse_sqrt_degree")
        return builder.emit(
            "sum", (h,), self.aggregate, h.value.width, self_loops=True, row_scale="inverse_sqrt_degree"
        )


class NoNorm(nn.Module):
    """The sum A X W alone, with A + I for `self_loops`. Sites: `features`, `aggregate` (node)."""

    def __init__(self, sites: Sites, *, self_loops: bool) -> None:
        super().__init__()
        self.self_loops = self_loops
        self.features = sites("features", "node")
        self.aggregate = sites("aggregate", "node")

    def forward(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """Shapes: h [N, F']; protect [N] or None; result [N, F']."""
        graph = graph.with_self_loops if self.self_loops else graph
        return self.aggregate(sum_neighbours(graph, self.features(h, protect)), protect)

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref:
        """linear and sum."""
        h = builder.linear(x, weight, weights, self.features)
        return builder.emit("sum", (h,), self.aggregate, h.value.width, self_loops=self.self_loops)


NORMS: dict[str, type[EdgeNorm] | type[FactoredNorm] | type[NoNorm]] = {
    "edge": EdgeNorm,
    "factored": FactoredNorm,
    "none": NoNorm,
}
"""`edge` is the paper's form; `factored` needs no per-edge work; `none` leaves the degrees out."""

Norm = Literal["edge", "factored", "none"]


class GCNConv(Conv):
    """X' = D^-1/2 (A + I) D^-1/2 X W + b (Kipf & Welling 2017), sites as in Tailor et al. 2021.

    Without `self_loops` A takes the place of A + I, with its own degrees.

    Sites: `inputs` (node), `weights` (parameter), those of the norm form, `update` (node, behind the bias).
    `dropout` acts on the quantized inputs.

    Shapes:
        x [N, F] dense or sparse; weight [F, F']; protect [N] bool or None; result [N, F'].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        norm: Norm = "edge",
        self_loops: bool = True,
        dropout: float = 0.0,
        signed_inputs: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.xavier_uniform_(self.weight)
        self.dropout = dropout
        self.inputs = sites("inputs", "node", signed=signed_inputs)
        self.weights = sites.matrix("weight")
        self.propagate = NORMS[norm](sites, self_loops=self_loops)
        self.update = sites("update", "node")

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """See the class."""
        x = drop(self.inputs(x, protect), self.dropout, training=self.training)
        h: Tensor = self.propagate(matmul(x, self.weights(self.weight)), graph, protect)
        return self.update(h if self.bias is None else h + self.bias, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """quantize, the norm's ops, requantize."""
        x = builder.quantize(x, self.inputs)
        aggregate = self.propagate.lower(builder, x, self.weight, self.weights)
        return builder.requantize(aggregate, self.update, self.bias)
