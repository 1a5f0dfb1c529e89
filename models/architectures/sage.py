"""GraphSAGE (Hamilton et al. 2017)."""

from __future__ import annotations

from typing import Any

from models.architectures.base import Architecture
from models.layers import SAGEConv
from models.layers.convs.base import Conv
from models.layers.convs.sage_conv import AGGREGATIONS, Aggregation
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites


class GraphSAGE(Architecture):
    """GraphSAGE convolutions of `hidden` features: of the in-neighbours' mean, sum or maximum, and of a node's own row.

    The whole neighbourhood is aggregated, without the paper's sampling and normalization of rows.

    Args:
        aggregation: "mean", "sum" or "max".
        kwargs: see Architecture.
    """

    spares = ("inputs", "message")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        aggregation: Aggregation = "mean",
        **kwargs: Any,
    ) -> None:
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"GraphSAGE: aggregation: expected one of {', '.join(AGGREGATIONS)}, got {aggregation!r}")
        self.aggregation: Aggregation = aggregation
        super().__init__(in_features, out_features, scheme, **kwargs)

    def details(self) -> list[str]:
        """See Architecture."""
        return [f"{self.aggregation} over neighbours", *super().details()]

    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A SAGEConv."""
        return SAGEConv(wide, narrow, sites, aggregation=self.aggregation, dropout=self.dropout, signed_inputs=signed)
