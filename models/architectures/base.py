"""What all networks share: masks, the stack of convolutions, lowering to an integer program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.layers.graph import Graph, features_of
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.fake_quantize import Sites
from models.quantization.program import IntegerProgram
from models.quantization.protection import Protection
from models.quantization.qconfig import QuantScheme

Activation = Literal["relu", "elu"]
ACTIVATIONS = {"relu": torch.relu, "elu": nn.functional.elu}


class Architecture(nn.Module, ABC):
    """A stack of convolutions with an activation between them, for node classification.

    A new network overrides `make_conv`; layers know nothing of the scheme, which only decides what their
    sites do. Dropout belongs to the layers (behind their `inputs` site).

    Args:
        in_features, out_features: widths of the node features and of the logits.
        scheme: what is quantized how; None: FP32.
        hidden: width of a hidden layer (GAT: per head).
        layers: number of convolutions.

    Shapes:
        x [N, in_features], dense or torch sparse CSR; edge_index [2, E] (source, target); degree_cdf [N], see
        `protection.degree_cdf`; result [N, out_features].

    Raises:
        ValueError: in training with a masking scheme, if `degree_cdf` is missing.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        hidden: int = 16,
        layers: int = 2,
        dropout: float = 0.5,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if layers < 1 or hidden < 1:
            raise ValueError(f"{type(self).__name__}: layers and hidden must be at least 1, got {layers}, {hidden}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"{type(self).__name__}: dropout must lie in [0, 1), got {dropout}")
        self.scheme = scheme or QuantScheme()
        self.in_features, self.out_features = in_features, out_features
        self.hidden, self.num_layers, self.dropout = hidden, layers, dropout
        self.activation = ACTIVATIONS[activation]
        self.hidden_signed = activation != "relu"
        masks = self.scheme.protection
        self.protection = Protection(masks.p_min, masks.p_max, masks.shared) if masks else None
        sites = Sites(self.scheme)
        self.convs = nn.ModuleList(self.make_conv(i, i == layers - 1, sites.child(f"convs.{i}")) for i in range(layers))

    @abstractmethod
    def make_conv(self, index: int, last: bool, sites: Sites) -> nn.Module:
        """The convolution number `index`."""

    def forward(self, x: Tensor, edge_index: Tensor, degree_cdf: Tensor | None = None) -> Tensor:
        """See the class."""
        graph = Graph.of(edge_index, x.shape[0])
        h: Any = features_of(x)
        for i, (conv, protect) in enumerate(zip(self.convs, self._masks(degree_cdf), strict=True)):
            h = conv(h if i == 0 else self.activation(h), graph, protect)
        return h

    def _masks(self, degree_cdf: Tensor | None) -> list[Tensor] | list[None]:
        """The rows each layer protects: none in evaluation and without a masking scheme."""
        if self.protection is None or not self.training:
            return [None] * len(self.convs)
        if degree_cdf is None:
            raise ValueError(f"scheme {self.scheme.name} draws masks: training needs degree_cdf beside x")
        return self.protection.draw(degree_cdf, len(self.convs))

    @torch.no_grad()
    def lower(self, manifest: Mapping[str, Any] | None = None) -> IntegerProgram:
        """The integer program of the evaluation forward.

        Raises:
            ValueError: if a site is in FP32 or never saw data.
        """
        builder = ProgramBuilder(self.in_features)
        h: Ref = builder.input
        for i, conv in enumerate(self.convs):
            h = conv.lower(builder, h if i == 0 else builder.activation(h, self.activation))  # type: ignore[operator]
        builder.dequantize(h)
        return builder.finish(manifest or {})
