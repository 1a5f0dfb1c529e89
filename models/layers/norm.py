"""Normalisation: of columns by what training tracked, or of rows by their own mean and deviation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.layers.graph import Incidence
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.control import named_weights


class BatchNorm(nn.BatchNorm1d):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias for every feature (Ioffe & Szegedy 2015).

    Unfolded in training, over the rows of the batch. In evaluation x * scale + shift with the tracked statistics:
    what the integer program does, so that both round the same numbers.

    Shapes:
        x [N, F]; result [N, F].
    """

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and shift [F], formed in float64 and rounded once."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        scale = 1.0 / (variance.double() + self.eps).sqrt()
        shift = -mean.double() * scale
        if self.affine:
            scale = self.weight.double() / (variance.double() + self.eps).sqrt()
            shift = self.bias.double() - mean.double() * scale
        return scale.float(), shift.float()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.training:
            return super().forward(x)
        scale, shift = self.folded()
        return x * scale + shift

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Deferred:
        """Part of the next epilogue."""
        return builder.affine(x, *self.folded())


Over = Literal["row", "graph", "all"]
"""What is normalised together: the entries of a row, those of the nodes of a graph, or all."""

Mean = Callable[[Tensor], Tensor]


class Normalize(nn.Module):
    """y = (x - a m) / sqrt(v + eps) * weight + bias, with m the mean of x and v that of (x - a m)^2.

    Over a row it is layer normalisation (Ba et al. 2016). Over a graph and of each column it is InstanceNorm with a = 1
    and GraphNorm with a learned a (Cai et al. 2021). In evaluation it computes in float64 and rounds once, as the
    integer program does, so that both round the same numbers.

    Args:
        width: of the rows.
        over: see `Over`.
        per_column: whether every column has its own m and v (not over a row).
        affine: whether there are weight and bias.
        learns_share: whether there is an a for every column; else it is 1.
        eps_beside: whether y = (x - m) / (sqrt(v) + eps) over all, and where no batch is given, as PyG's LayerNorm.

    Shapes:
        x [N, F]; weight, bias, mean_scale (a) [F]; result [N, F].
    """

    def __init__(
        self,
        width: int,
        over: Over = "row",
        *,
        eps: float = 1e-5,
        per_column: bool = False,
        affine: bool = True,
        learns_share: bool = False,
        eps_beside: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.over = width, over
        self.eps, self.per_column, self.eps_beside = float(eps), per_column, eps_beside
        self.mixes_rows = over != "row"
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None
        self.mean_scale = nn.Parameter(torch.ones(width)) if learns_share else None

    def forward(self, x: Tensor, graphs: Incidence | None = None, given: Mapping[str, Any] | None = None) -> Tensor:
        """See the class.

        Args:
            graphs: the graph of every node, if statistics are of graphs.
            given: what the network is given, for its `batch`.
        """
        exact, mean = x if self.training else x.double(), self._mean(graphs)
        centre = mean(exact)
        distance = exact - (centre if self.mean_scale is None else centre * self.mean_scale)
        squares = mean(distance.square())
        alone = self.eps_beside and (self.over == "all" or (given or {}).get("batch") is None)
        y = distance / (squares.sqrt() + self.eps if alone else (squares + self.eps).sqrt())
        y = y if self.weight is None else y * self.weight
        return (y if self.bias is None else y + self.bias).to(x.dtype)

    def _mean(self, graphs: Incidence | None) -> Mean:
        """The mean for every row: a function from [N, F] to [N, F], [N, 1], [1, F] or [1, 1]."""
        if self.over == "row":
            return lambda x: x.mean(1, keepdim=True)
        if self.over == "all":
            return lambda x: x.mean(0, keepdim=True) if self.per_column else x.mean().view(1, 1)
        assert graphs is not None, "its step says that it is given the graphs"

        def mean(x: Tensor) -> Tensor:
            rows = graphs.sum(x) / graphs.counts.clamp(min=1)[:, None]
            return graphs.gather(rows if self.per_column else rows.mean(1, keepdim=True))

        return mean

    def lower(self, builder: ProgramBuilder, x: Ref) -> Deferred:
        """normalize, at the next site."""
        flags = {"per_column": self.per_column, "eps_beside": self.eps_beside}
        floats = {"scale": self.weight, "bias": self.bias, "mean_scale": self.mean_scale}
        return builder.normalize(x, floats, over=self.over, eps=self.eps, **{k: v for k, v in flags.items() if v})


class UnitLength(nn.Module):
    """y = x / max(|x|, eps) with |x| the Euclidean length of a row, in evaluation as Normalize. Shapes: [N, F]."""

    def __init__(self, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        exact = x if self.training else x.double()
        return nn.functional.normalize(exact, dim=1, eps=self.eps).to(x.dtype)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Deferred:
        """normalize by the length, at the next site."""
        return builder.normalize(x, {}, over="row", eps=self.eps, length=True)


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and the statistics BatchNorm tracks, by name: all of a state but ranges, steps and masks."""
    norms = [f"{name}." for name, part in module.named_modules() if isinstance(part, BatchNorm)]
    tracked = {name: value for name, value in module.state_dict().items() if name.startswith(tuple(norms))}
    return tracked | {name: weight.detach() for name, weight in named_weights(module).items()}
