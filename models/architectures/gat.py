"""GAT (Velickovic et al. 2018)."""

from __future__ import annotations

from torch import nn

from models.architectures.base import Activation, Architecture
from models.layers import GATConv
from models.quantization.fake_quantize import Sites
from models.quantization.qconfig import QuantScheme


class GAT(Architecture):
    """Attention layers of `heads` heads with `hidden` features each; the last layer has one head."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        hidden: int = 8,
        layers: int = 2,
        dropout: float = 0.6,
        activation: Activation = "elu",
        heads: int = 8,
        attention_dropout: float = 0.6,
    ) -> None:
        if heads < 1:
            raise ValueError(f"GAT: heads must be at least 1, got {heads}")
        if not 0.0 <= attention_dropout < 1.0:
            raise ValueError(f"GAT: attention_dropout must lie in [0, 1), got {attention_dropout}")
        self.heads, self.attention_dropout = heads, attention_dropout
        super().__init__(in_features, out_features, scheme, hidden, layers, dropout, activation)

    def make_conv(self, index: int, last: bool, sites: Sites) -> nn.Module:
        """A GATConv."""
        wide = self.in_features if index == 0 else self.hidden * self.heads
        narrow, heads = (self.out_features, 1) if last else (self.hidden * self.heads, self.heads)
        signed = index == 0 or self.hidden_signed
        return GATConv(wide, narrow, sites, heads, self.dropout, self.attention_dropout, signed)
