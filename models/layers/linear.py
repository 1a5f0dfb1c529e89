"""The quantized linear layer: of GIN's MLP, readouts and classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.functional import drop, matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.qconfig import Domain
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class QuantLinear(nn.Module):
    """y = x W + b with sites `inputs`, `weights` (parameter) and `features` (behind the bias).

    Not mask-aware, as in the paper. Rows are what `domain` says; `dropout` acts on the quantized inputs.

    Shapes:
        x [N, F] dense or sparse; weight [F, F']; result [N, F'].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        bias: bool = True,
        signed_inputs: bool = True,
        dropout: float = 0.0,
        domain: Domain = "node",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.dropout = dropout
        self.inputs = sites("inputs", domain, signed_inputs)
        self.weights = sites.matrix("weights")
        self.features = sites("features", domain)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(F), as torch.nn.Linear."""
        bound = self.weight.shape[0] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Features) -> Tensor:
        """See the class."""
        x = drop(self.inputs(x), self.dropout, training=self.training)
        y = matmul(x, self.weights(self.weight))
        return self.features(y if self.bias is None else y + self.bias)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """quantize, linear."""
        x = builder.quantize(x, self.inputs)
        return builder.linear(x, self.weight, self.weights, self.features, bias=self.bias)
