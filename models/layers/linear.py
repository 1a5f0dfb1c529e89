"""The quantized linear layer: of GIN's MLP, readouts and classifiers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.layers.functional import drop
from models.layers.products import matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import Domain
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class QuantLinear(nn.Module):
    """y = x W + b with sites `inputs`, `weights` (parameter) and `features` (behind the bias).

    Rows are what `domain` says; `dropout` acts on the quantized inputs. An MLP passes no mask, as in the paper.

    Args:
        reads_codes: what it reads lies on the grid of the site it comes from, or is sums of such rows, so there is no
            site `inputs`.
        writes_codes: whether there is a site `features`; without one, a program writes what the accumulators hold.

    Shapes:
        x [N, F] dense or sparse; weight [F, F']; result [N, F'].
    """

    reads_sparse = True
    """Whether it takes `SparseRows`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        bias: bool = True,
        signed_inputs: bool = True,
        dropout: float = 0.0,
        domain: Domain = "node",
        reads_codes: bool = False,
        writes_codes: bool = True,
    ) -> None:
        super().__init__()
        self.path = sites.path.rstrip(".")
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.dropout = dropout
        self.inputs = None if reads_codes else sites("inputs", domain, signed=signed_inputs)
        self.weights = sites.matrix("weight")
        self.features = sites("features", domain) if writes_codes else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(F), as torch.nn.Linear."""
        bound = self.weight.shape[0] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return self.features

    def forward(self, x: Features, protect: Tensor | None = None) -> Tensor:
        """See the class; `protect` [N] bool: rows that stay in FP32."""
        read: Any = x if self.inputs is None else self.inputs(x, protect)
        x = drop(read, self.dropout, training=self.training)
        y = matmul(x, self.weights(self.weight))
        y = y if self.bias is None else y + self.bias
        return y if self.features is None else self.features(y, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred, *added: Ref) -> Ref:
        """quantize, linear, to whose float32 result another one may be added."""
        if self.inputs is not None:
            x = builder.quantize(x, self.inputs)
        place = self.features or self.path
        return builder.linear(x, self.weight, self.weights, place, bias=self.bias, added=added)
