"""Quantized linear layers in a row: of GIN, and on top of a readout."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from torch import nn

from models.layers.activation import Activation
from models.layers.linear import QuantLinear
from models.layers.norm import BatchNorm
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import Domain, Part
from models.quantization.sites import Role, Sites


class MLP(nn.Sequential):
    """Linear layers with a ReLU between them, behind a BatchNorm where `batch_norm` says so. Not mask-aware.

    A tensor between two linear layers is quantized twice: as `features` of the first and as `inputs` (behind
    BatchNorm and ReLU) of the second. Each linear layer is named by its number, in the sites as in the state.

    Args:
        dropout: on the quantized inputs of every layer but the first.
        domain: what a row is.
        result: the part of the network that its result is in; None: that of its layers.
        spared: roles that its first layer has no site of. Where only the roundings that are needed are wanted, no layer
            has `features`: what is behind them rounds.
        by_feature: whether its result is read feature by feature.

    Shapes:
        x [N, in_features], sparse or dense; result [N, widths[-1]].
    """

    def __init__(
        self,
        in_features: int,
        widths: list[int],
        sites: Sites,
        *,
        signed_inputs: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.0,
        domain: Domain = "node",
        result: Part | None = None,
        spared: Collection[Role] = (),
        by_feature: bool = False,
    ) -> None:
        last, result = len(widths) - 1, result or sites.part
        unread: list[Role] = ["features"] if sites.roundings == "needed" else []
        steps: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (wide, narrow) in enumerate(zip([in_features, *widths[:-1]], widths, strict=True)):
            if i > 0 and batch_norm:
                steps[f"norm{i}"] = BatchNorm(wide)
            if i > 0:
                steps[f"relu{i}"] = Activation("relu")
            steps[str(i)] = QuantLinear(
                wide,
                narrow,
                sites.child(
                    str(i),
                    roles={"features": result} if i == last else None,
                    spared=[*unread, *(spared if i == 0 else ())],
                    by_feature={"features": narrow} if (batch_norm if i < last else by_feature) else None,
                ),
                signed_inputs=signed_inputs and i == 0,
                dropout=dropout if i > 0 else 0.0,
                domain=domain,
            )
        super().__init__(steps)

    @property
    def linears(self) -> list[QuantLinear]:
        """The linear layers."""
        return [step for step in self if isinstance(step, QuantLinear)]

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return self.linears[-1].output_site

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize and linear, one pair a layer; a BatchNorm makes a requantize of the former, or joins the latter."""
        for step in self:
            x = step.lower(builder, x)  # type: ignore[operator]
        return x
