"""Registry of the convolutions that benchmarks know: a new one is added to CONVOLUTIONS."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from app.benchmarks.peers import gat, gcn, gin, sage
from app.benchmarks.peers.convolution import ConvolutionPeers
from models.architectures import Architecture
from models.quantization.qconfig import QuantScheme

CONVOLUTIONS: Mapping[str, ConvolutionPeers] = {
    "gcn": gcn.PEERS,
    "gin": gin.PEERS,
    "sage": sage.PEERS,
    "gat": gat.PEERS,
}
"""Counterparts by the name that the network has in `models.architectures.ARCHITECTURES`, in the order of tables."""

BY_LAYER: Mapping[type[nn.Module], ConvolutionPeers] = {peers.layer: peers for peers in CONVOLUTIONS.values()}
"""Counterparts by the class of the layer."""

BY_NETWORK: Mapping[str, ConvolutionPeers] = {name: peers for peers in CONVOLUTIONS.values() for name in peers.networks}
"""Counterparts by the name of a benchmark network."""

NETWORKS: Mapping[str, Callable[[QuantScheme], Architecture]] = {
    name: peers.networks[name] for name, peers in BY_NETWORK.items()
}
"""Benchmark networks by name."""
