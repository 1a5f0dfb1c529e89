"""The FP32 peer on the engine's own machinery: what float32 can do where nothing but the numbers differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine import Graph
from app.engine.graph import Adjacency
from app.engine.kernels import floats as float_kernels
from app.engine.kernels import plain as kernels
from app.engine.workers import Workers
from models import layers
from models.architectures import Architecture
from models.layers.convs.gat_conv import NEGATIVE_SLOPE
from models.layers.convs.gcn_conv import FactoredNorm

Layer = Callable[[Tensor, Graph, bool], Tensor]

ROWS = 1024
"""Rows of a matrix product whose bias and ReLU follow at once, while they are in the cache."""


class FusedNetwork:
    """Evaluation forward in float32: matrix products by torch, sums over edges on the engine's vectors and threads.

    The coefficient is multiplied in on the way, bias and ReLU follow in registers; results lie in memory that is used
    again. torch must be given as many threads as the engine.

    Args:
        network: convolutions of at least 8 features (of a head) with ReLUs between them, and nothing else.
        threads: for the sums.

    Shapes:
        x [N, F] -> [N, C].

    Raises:
        ValueError: for a network that has anything else.
    """

    def __init__(self, network: Architecture, threads: int = 1) -> None:
        others: list[Any] = [network.embedding, network.readout]
        others += [transition.residual for transition in network.transitions]
        norms = any(isinstance(module, layers.BatchNorm) for module in network.modules())
        if network.activation.signed or norms or any(other is not None for other in others):
            raise ValueError("FusedNetwork: expected convolutions with ReLUs between them, and nothing else")
        self._workers = Workers(threads)
        self._layers = [LAYERS[type(conv)](self, conv) for conv in network.convs]

    @torch.inference_mode()
    def __call__(self, x: Tensor, graph: Graph) -> Tensor:
        """See the class."""
        for number, layer in enumerate(self._layers):
            x = layer(x, graph, number < len(self._layers) - 1)
        return x

    def _empty(self, rows: int, width: int) -> Tensor:
        return torch.from_numpy(self._workers.buffers.empty((rows, width), np.float32))

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """x [N, K] weight [K, M]."""
        return torch.mm(x, weight, out=self._empty(len(x), weight.shape[1]))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        """x [N, K] weight [K, M] + bias [M], and its ReLU."""
        out = self._empty(len(x), weight.shape[1])
        for rows, own in zip(x.split(ROWS), out.split(ROWS), strict=True):
            torch.addmm(bias, rows, weight, out=own)
            if relu:
                own.relu_()
        return out

    def _aggregate(
        self,
        kernel: Callable[..., None],
        x: Tensor,
        factors: np.ndarray,
        edges: Adjacency,
        bias: np.ndarray,
        relu: bool,
    ) -> Tensor:
        """One of the sums of app/engine/kernels/floats.py: x [N, W] -> [N, W]."""
        out = self._empty(*x.shape)
        lowest = np.float32(0.0 if relu else -np.inf)
        arguments = x.numpy(), factors, edges.indptr, edges.sources, bias, lowest, out.numpy()
        self._workers.run(lambda first, last: kernel(*arguments, first, last), len(x), edges.work)
        return out

    def _gcn(self, conv: layers.GCNConv) -> Layer:
        weight, bias = conv.weight.detach(), conv.bias.detach().numpy()
        factored = isinstance(conv.propagate, FactoredNorm)
        kernel = float_kernels.factored_sum if factored else float_kernels.edge_sum
        narrow(weight.shape[1])

        def run(x: Tensor, graph: Graph, relu: bool) -> Tensor:
            edges = graph.adjacency(self_loops=True)
            factors = edges.inverse_sqrt_degrees if factored else edges.norm
            return self._aggregate(kernel, self._multiply(x, weight), factors[:, None], edges, bias, relu)

        return run

    def _gin(self, conv: layers.GINConv) -> Layer:
        linears: list[Any] = conv.mlp.linears
        steps = [(linear.weight.detach(), linear.bias.detach()) for linear in linears]
        own = np.full((1, 1), 1.0 + float(conv.eps.detach()), np.float32)
        zeros = np.zeros(len(steps[0][0]), np.float32)
        narrow(zeros.size)

        def run(x: Tensor, graph: Graph, relu: bool) -> Tensor:
            edges = graph.adjacency(self_loops=False)
            h = self._aggregate(float_kernels.own_sum, x.contiguous(), own, edges, zeros, False)
            for number, (weight, bias) in enumerate(steps):
                h = self._linear(h, weight, bias, relu or number < len(steps) - 1)
            return h

        return run

    def _gat(self, conv: layers.GATConv) -> Layer:
        weight, heads = conv.weight.detach(), conv.heads
        bias = torch.zeros(weight.shape[1]) if conv.bias is None else conv.bias.detach()
        vectors = side_by_side(conv.attention.detach())
        narrow(weight.shape[1] // heads)

        def run(x: Tensor, graph: Graph, relu: bool) -> Tensor:
            edges = graph.adjacency(self_loops=True)
            h = self._multiply(x, weight)
            values = self._attention(self._multiply(h, vectors).numpy(), heads, edges)
            return self._aggregate(float_kernels.edge_sum, h, values, edges, bias.numpy(), relu)

        return run

    def _attention(self, scores: np.ndarray, heads: int, edges: Adjacency) -> np.ndarray:
        """Coefficients [E, H] of scores of source and target [N, 2 * H]; they sum to one over the edges into a node."""
        values, indptr = self._workers.buffers.empty((edges.num_edges, heads), np.float32), edges.indptr

        def part(first: int, last: int) -> None:
            slope = np.float32(NEGATIVE_SLOPE)
            float_kernels.attention_logits(scores, slope, indptr, edges.sources, values, first, last)
            normalise(values, indptr, first, last)

        self._workers.run(part, len(scores), edges.work)
        return values


def normalise(values: np.ndarray, indptr: np.ndarray, first: int, last: int) -> None:
    """A softmax's second half, in place: exponentials of values [E, H] over their sum, for rows first..last-1."""
    own = values[indptr[first] : indptr[last]]
    np.exp(own, out=own)
    kernels.divide_by_sum(values, indptr, first, last)


def narrow(width: int) -> None:
    """Refuses rows that no vector fits in."""
    if width < float_kernels.NARROWEST:
        raise ValueError(f"FusedNetwork: expected at least {float_kernels.NARROWEST} features, got {width}")


def side_by_side(attention: Tensor) -> Tensor:
    """Vectors [2, H, C] as the matrix [H * C, 2 * H] that takes rows to the scores of source and target."""
    _, heads, channels = attention.shape
    blocks = torch.eye(heads)[:, None, None] * attention.permute(1, 2, 0)[..., None]  # [H, C, 2, H]
    return blocks.reshape(heads * channels, 2 * heads)


LAYERS: dict[type[torch.nn.Module], Callable[[FusedNetwork, Any], Layer]] = {
    layers.GCNConv: FusedNetwork._gcn,
    layers.GINConv: FusedNetwork._gin,
    layers.GATConv: FusedNetwork._gat,
}
"""Convolution -> what prepares it."""
