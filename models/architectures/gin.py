"""GIN (Xu et al. 2019)."""

from __future__ import annotations

from torch import nn

from models.architectures.base import Activation, Architecture
from models.layers import GINConv
from models.quantization.fake_quantize import Sites
from models.quantization.qconfig import QuantScheme


class GIN(Architecture):
    """GIN convolutions whose MLP has `mlp_layers` linear layers of `hidden` features."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        hidden: int = 16,
        layers: int = 2,
        dropout: float = 0.5,
        activation: Activation = "relu",
        mlp_layers: int = 1,
        learn_eps: bool = False,
    ) -> None:
        if mlp_layers < 1:
            raise ValueError(f"GIN: mlp_layers must be at least 1, got {mlp_layers}")
        self.mlp_layers, self.learn_eps = mlp_layers, learn_eps
        super().__init__(in_features, out_features, scheme, hidden, layers, dropout, activation)

    def make_conv(self, index: int, last: bool, sites: Sites) -> nn.Module:
        """A GINConv."""
        wide = self.in_features if index == 0 else self.hidden
        widths = [self.hidden] * (self.mlp_layers - 1) + [self.out_features if last else self.hidden]
        return GINConv(wide, widths, sites, self.learn_eps, self.dropout, index == 0 or self.hidden_signed)
