"""The quantized linear layer: of GIN's MLP, readouts and classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.evaluation.row_blocks import in_blocks, runs_in_blocks
from models.layers.functional import drop
from models.layers.products import matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import Domain
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class QuantLinear(nn.Module):
    """y = x W + b with sites `inputs`, `weights` (parameter) and `features` (behind the bias).

    Rows are what `domain` says; `dropout` acts on the quantized inputs. An MLP passes no mask, as in the paper. Without
    `inputs` it reads codes as they are, or their sums; without `features` the next site rounds what its accumulators
    hold.

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
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.dropout = dropout
        self.inputs = sites.unless_spared("inputs", domain, signed=signed_inputs)
        self.weights = sites.matrix("weight")
        self.features = sites.unless_spared("features", domain)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(F), as torch.nn.Linear."""
        bound = self.weight.shape[0] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return self.features.output_site

    def forward(self, x: Features, protect: Tensor | None = None) -> Tensor:
        """See the class; `protect` [N] bool: rows that stay in FP32."""
        if runs_in_blocks(self, x):
            return in_blocks(lambda block, _: (self._rows(block, None),), x)[0]
        return self._rows(x, protect)

    def _rows(self, x: Features, protect: Tensor | None) -> Tensor:
        x = drop(self.inputs(x, protect), self.dropout, training=self.training)
        y = matmul(x, self.weights(self.weight))
        return self.features(y if self.bias is None else y + self.bias, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, linear."""
        x = self.inputs.lower(builder, x)
        return self.features.lower(builder, builder.linear(x, self.weight, self.weights, bias=self.bias))
