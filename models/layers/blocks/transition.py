"""Activation, normalization and residual sum applied after a hidden convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from models.layers.activation import Activation, ActivationName
from models.layers.norm import BatchNorm
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites

NormPlace = Literal["before", "after"]
"""Where BatchNorm stands: before or after the activation."""


class Transition(nn.Module):
    """h' = activation(h), with BatchNorm before or after it, plus `residual` x. All sites are of nodes.

    Sites: only where nothing behind it quantizes the same tensor again. `normalized` (behind BatchNorm and
    activation) or `activated` (behind an activation alone), if a sum or a pool reads it; `residual` (the sum);
    `activated` also between an ELU and a BatchNorm. A ReLU needs none there: what it lets through stays on the
    grid of the convolution.

    Args:
        coded: whether something that needs codes reads the result directly: a pool, or a sum.

    Shapes:
        h (of the convolution) and x (what it read) [N, F]; protect [N] bool or None; result [N, F].

    Raises:
        ValueError: for a BatchNorm before an activation that no clamp can stand for.
    """

    def __init__(
        self,
        width: int,
        sites: Sites,
        *,
        activation: ActivationName = "relu",
        batch_norm: NormPlace | None = None,
        residual: bool = False,
        coded: bool = False,
    ) -> None:
        super().__init__()
        act, norm = Activation(activation), [] if batch_norm is None else [BatchNorm(width)]
        steps: list[nn.Module] = [*norm, act] if batch_norm == "before" else [act, *norm]
        if batch_norm == "before" and act.signed:
            raise ValueError(f"batch_norm: before {activation} it cannot be folded; use relu, or batch_norm: after")
        if batch_norm == "after" and act.signed:
            steps.insert(1, sites("activated", "node"))
        if residual or coded:
            signed = act.signed or batch_norm == "after"
            steps.append(sites("normalized" if batch_norm else "activated", "node", signed=signed))
        self.steps = nn.ModuleList(steps)
        self.residual = sites("residual", "node") if residual else None
        self.reads_sparse = not residual  # then it does not look at x

    def forward(self, h: Tensor, x: Tensor, protect: Tensor | None = None) -> Tensor:
        """See the class."""
        for step in self.steps:
            h = step(h, protect) if isinstance(step, Site) else step(h)
        return h if self.residual is None else self.residual(x + h, protect)

    def lower(self, builder: ProgramBuilder, h: Ref | Deferred, x: Ref) -> Ref | Deferred:
        """lookup or requantize where there is a site, add."""
        for step in self.steps:
            h = step.lower(builder, h)  # type: ignore[operator]
        return h if self.residual is None else self.residual.lower(builder, builder.add(x, h))
