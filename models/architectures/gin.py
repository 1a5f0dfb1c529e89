"""GIN (Xu et al. 2019)."""

from __future__ import annotations

from typing import Any

from models.architectures.base import Architecture
from models.layers import MLP, GINConv
from models.layers.convs.base import Conv
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites


class GIN(Architecture):
    """GIN convolutions whose MLP has `mlp_layers` linear layers of `hidden` features.

    `mlp_batch_norm`: a BatchNorm before every ReLU within that MLP.
    """

    spares = ("inputs", "message", "update")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        mlp_layers: int = 1,
        mlp_batch_norm: bool = False,
        learn_eps: bool = False,
        **kwargs: Any,
    ) -> None:
        if mlp_layers < 1:
            raise ValueError(f"GIN: mlp_layers must be at least 1, got {mlp_layers}")
        self.mlp_layers, self.mlp_batch_norm, self.learn_eps = mlp_layers, mlp_batch_norm, learn_eps
        super().__init__(in_features, out_features, scheme, **kwargs)

    def details(self) -> list[str]:
        """See Architecture."""
        return [f"MLP of {self.mlp_layers}", *super().details()]

    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A GINConv."""
        widths = [self.hidden] * (self.mlp_layers - 1) + [narrow]
        result: dict[str, Any] = {"result": sites.part_of("update"), "by_feature": "update" in sites.by_feature}
        mlp = MLP(wide, widths, sites.child("mlp"), batch_norm=self.mlp_batch_norm, **result)
        return GINConv(mlp, sites, learn_eps=self.learn_eps, dropout=self.dropout, signed_inputs=signed)
