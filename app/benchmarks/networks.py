"""The networks that benchmarks time, with random weights and calibrated ranges: two layers of width 128, and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.registry import NETWORKS
from models.architectures import GIN, Architecture
from models.layers import ReadoutConfig
from models.quantization.control import calibrate
from models.quantization.qconfig import QuantScheme

ATOMS = 28
"""Types of atoms in ZINC-12k."""


def zinc_gin(scheme: QuantScheme) -> Architecture:
    """The network of configs/architecture/molecules/gin.yaml: four layers of width 110, of a molecule one number."""
    return GIN(
        ATOMS, 1, scheme, embedding="categorical", hidden=110, layers=4, mlp_layers=2, mlp_batch_norm=True,
        learn_eps=True, batch_norm="before", residual=True, readout=ReadoutConfig(pool="sum", every_layer=True),
    )  # fmt: skip


OF_MOLECULES: Mapping[str, Callable[[QuantScheme], Architecture]] = {"zinc_gin": zinc_gin}
"""Further networks by name, whose features are types of atoms: for workloads of molecules."""


def features(name: str, rows: int) -> Tensor:
    """Returns random features for a network: [rows, WIDTH] float32, or types of atoms [rows, 1] int64."""
    generator = torch.Generator().manual_seed(0)
    if name in OF_MOLECULES:
        return torch.randint(ATOMS, (rows, 1), generator=generator)
    return torch.randn(rows, WIDTH, generator=generator)


def calibrated_network(name: str, bits: int) -> Architecture:
    """Builds a network at so many bits and calibrates its ranges on random features of a small graph."""
    torch.manual_seed(0)
    network = {**NETWORKS, **OF_MOLECULES}[name](QuantScheme("benchmark", bits)).eval()
    nodes, edges = superpixels(graphs=20)
    x = features(name, nodes) if name in OF_MOLECULES else torch.randn(nodes, WIDTH)
    calibrate(network, lambda: network(x, torch.from_numpy(edges)))
    return network
