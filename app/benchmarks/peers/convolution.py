"""What the benchmarks need to know of a convolution: its FP32 counterparts and the networks it is timed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from app.benchmarks.peers.float_ops import FloatOps
from app.engine import Graph
from models.architectures import Architecture
from models.quantization.qconfig import QuantScheme

WIDTH = 128
"""Features, hidden units and logits of the benchmark networks, as in the paper."""

Forward = Callable[[], Tensor]
"""A forward pass on inputs that are already prepared."""


class FusedLayer(Protocol):
    """A convolution, and its ReLU if `relu`: x [N, F] -> [N, C]."""

    def __call__(self, x: Tensor, graph: Graph, *, relu: bool) -> Tensor:
        """Computes the layer in float32."""


@dataclass(frozen=True)
class ConvolutionPeers:
    """FP32 counterparts of one of our convolutions, all computing with its weights.

    Args:
        layer: the convolution's class in `models.layers`.
        stock: makes the layer of PyG that computes the same in evaluation.
        fused: prepares the layer on the engine's float32 kernels.
        networks: two-layer networks of WIDTH with this convolution, by the names that tables and options use.
        on_csr: whether PyG's layer also runs on an adjacency in CSR (as a sparse matrix product).
        matrix_products: prepares the forward of such a network on features [N, WIDTH] and edges [2, E] as bare
            `torch.mm` and products with a CSR adjacency; None: there is no such form.
    """

    layer: type[nn.Module]
    stock: Callable[[Any], nn.Module]
    fused: Callable[[Any, FloatOps], FusedLayer]
    networks: Mapping[str, Callable[[QuantScheme], Architecture]]
    on_csr: bool = True
    matrix_products: Callable[[Architecture, Tensor, Tensor], Forward] | None = None
