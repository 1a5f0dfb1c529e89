"""GAT (Velickovic et al. 2018)."""

from __future__ import annotations

from typing import Any, get_args

from models.architectures.base import Architecture
from models.layers import GATConv
from models.layers.activation import ActivationName
from models.layers.convs.base import Conv
from models.layers.convs.gat_conv import AttentionStart
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites


class GAT(Architecture):
    """Attention layers of `heads` heads with `hidden` features each.

    Heads stand side by side, and the last layer has one; without `concat`, every layer gives the mean of its heads.
    Before a BatchNorm, whose own bias does the same, a layer has none (as in Dwivedi et al. 2020). `attention_start`:
    the range that attention vectors are drawn from (see GATConv).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        hidden: int = 8,
        dropout: float = 0.6,
        activation: ActivationName = "elu",
        heads: int = 8,
        attention_dropout: float = 0.6,
        concat: bool = True,
        attention_start: AttentionStart = "joint",
        **kwargs: Any,
    ) -> None:
        if heads < 1:
            raise ValueError(f"GAT: heads must be at least 1, got {heads}")
        if not 0.0 <= attention_dropout < 1.0:
            raise ValueError(f"GAT: attention_dropout must lie in [0, 1), got {attention_dropout}")
        if attention_start not in get_args(AttentionStart):
            raise ValueError(f"GAT: attention_start must be joint or separate, got {attention_start}")
        self.heads, self.attention_dropout, self.concat = heads, attention_dropout, concat
        self.attention_start = attention_start
        kwargs |= {"hidden": hidden, "dropout": dropout, "activation": activation}
        if not concat:  # the mean of heads is of codes
            self.spares = ("inputs", "update")
        super().__init__(in_features, out_features, scheme, **kwargs)

    @property
    def width(self) -> int:
        """Of all heads together, or of their mean."""
        return self.hidden * self.heads if self.concat else self.hidden

    def details(self) -> list[str]:
        """See Architecture."""
        return [f"{self.heads} heads" + ("" if self.concat else ", averaged"), *super().details()]

    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A GATConv."""
        bias = self.batch_norm != "before"
        heads = 1 if last and self.concat else self.heads
        return GATConv(
            wide,
            narrow if self.concat else narrow * heads,
            sites,
            heads=heads,
            concat=self.concat,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            signed_inputs=signed,
            bias=bias,
            attention_start=self.attention_start,
        )
