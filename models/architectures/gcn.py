"""GCN (Kipf & Welling 2017)."""

from __future__ import annotations

from typing import Any

from models.architectures.base import Architecture
from models.layers import GCNConv
from models.layers.convs.base import Conv
from models.layers.convs.propagation import NORMS, Norm
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites


class GCN(Architecture):
    """Graph convolutions of `hidden` features; `norm` as in GCNConv."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        norm: Norm = "edge",
        **kwargs: Any,
    ) -> None:
        self.norm: Norm = norm
        super().__init__(in_features, out_features, scheme, **kwargs)

    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A GCNConv."""
        return GCNConv(wide, narrow, sites, propagate=NORMS[self.norm], dropout=self.dropout, signed_inputs=signed)
