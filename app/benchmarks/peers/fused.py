"""The FP32 peer on the engine's own threads, vectors and memory: it differs from a program in its numbers alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from app.benchmarks.peers.float_ops import FloatOps
from app.benchmarks.peers.registry import BY_LAYER
from app.engine import Graph
from models import layers
from models.architectures import Architecture


class FusedNetwork:
    """Evaluation forward in float32: matrix products by torch, sums over edges by the engine's kernels.

    Args:
        network: convolutions of at least 8 features (of a head) with ReLUs between them, and nothing else.
        ops: what computes; None: one thread.

    Shapes:
        x [N, F] -> [N, C].

    Raises:
        ValueError: for a network that has anything else.
    """

    def __init__(self, network: Architecture, ops: FloatOps | None = None) -> None:
        others: list[Any] = [network.embedding, network.readout]
        others += [transition.residual for transition in network.transitions]
        norms = any(isinstance(module, layers.BatchNorm) for module in network.modules())
        if network.activation.signed or norms or any(other is not None for other in others):
            raise ValueError("FusedNetwork: expected convolutions with ReLUs between them, and nothing else")
        made = ops or FloatOps()
        self._layers = [BY_LAYER[type(conv)].fused(conv, made) for conv in network.convs]

    @torch.inference_mode()
    def __call__(self, x: Tensor, graph: Graph) -> Tensor:
        """Computes the logits; see the class."""
        for number, layer in enumerate(self._layers):
            x = layer(x, graph, relu=number < len(self._layers) - 1)
        return x
