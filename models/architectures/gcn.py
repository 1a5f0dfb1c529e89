"""GCN (Kipf & Welling 2017)."""

from __future__ import annotations

from torch import nn

from models.architectures.base import Activation, Architecture
from models.layers import GCNConv
from models.layers.gcn_conv import Norm
from models.quantization.fake_quantize import Sites
from models.quantization.qconfig import QuantScheme


class GCN(Architecture):
    """Graph convolutions of `hidden` features; `norm` as in GCNConv."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        hidden: int = 16,
        layers: int = 2,
        dropout: float = 0.5,
        activation: Activation = "relu",
        norm: Norm = "edge",
    ) -> None:
        self.norm: Norm = norm
        super().__init__(in_features, out_features, scheme, hidden, layers, dropout, activation)

    def make_conv(self, index: int, last: bool, sites: Sites) -> nn.Module:
        """A GCNConv."""
        wide = self.in_features if index == 0 else self.hidden
        narrow = self.out_features if last else self.hidden
        return GCNConv(wide, narrow, sites, self.norm, self.dropout, index == 0 or self.hidden_signed)
