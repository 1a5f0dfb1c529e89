"""GraphSAGE (Hamilton et al. 2017)."""

from __future__ import annotations

from models.architectures.base import Architecture
from models.layers import SAGEConv
from models.layers.convs.base import Conv
from models.quantization.sites import Sites


class GraphSAGE(Architecture):
    """GraphSAGE convolutions of `hidden` features: the mean over in-neighbours, and a node's own row (root weight).

    The whole neighbourhood is aggregated, without the paper's sampling and normalization of rows.
    """

    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A SAGEConv."""
        return SAGEConv(wide, narrow, sites, dropout=self.dropout, signed_inputs=signed)
