"""The two-layer networks of width 128 that benchmarks time, with random weights and calibrated ranges."""

from __future__ import annotations

import torch

from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.registry import NETWORKS
from models.architectures import Architecture
from models.quantization.control import calibrate
from models.quantization.qconfig import QuantScheme


def calibrated_network(name: str, bits: int) -> Architecture:
    """Builds a network of NETWORKS at so many bits and calibrates its ranges on random features of a small graph."""
    torch.manual_seed(0)
    network = NETWORKS[name](QuantScheme("benchmark", bits)).eval()
    nodes, edges = superpixels(graphs=20)
    x = torch.randn(nodes, WIDTH)
    calibrate(network, lambda: network(x, torch.from_numpy(edges)))
    return network
