"""The networks that benchmarks time, with random weights and calibrated ranges: two layers of width 128, and others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pytorch_lightning.cli import instantiate_class
from torch import Tensor

from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.registry import NETWORKS
from app.config.cells import files_of
from app.config.settings import read_yaml
from models.architectures import Architecture
from models.layers import ReadoutConfig
from models.quantization.control import calibrate
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Roundings

ATOMS = 28
"""Types of atoms in ZINC-12k."""


OF_MOLECULES: Mapping[str, str] = {"zinc_gin": "gin", "zinc_gcn": "gcn", "zinc_gat": "gat"}
"""Further networks by name, whose features are types of atoms: for workloads of molecules. The values are files in
configs/architecture/molecules."""


def network_of_molecules(file: str, scheme: QuantScheme, roundings: Roundings = "all") -> Architecture:
    """Builds the network of a file in configs/architecture/molecules, which gives one number of a molecule."""
    path = files_of("architecture", "molecules")[file]
    settings = read_yaml(path, str(path))["model"]["init_args"]["architecture"]
    arguments = settings["init_args"]
    arguments |= {"readout": ReadoutConfig(**arguments["readout"]), "roundings": roundings}
    network: Architecture = instantiate_class((ATOMS, 1, scheme), settings)
    return network


def features(name: str, rows: int) -> Tensor:
    """Returns random features for a network: [rows, WIDTH] float32, or types of atoms [rows, 1] int64."""
    generator = torch.Generator().manual_seed(0)
    if name in OF_MOLECULES:
        return torch.randint(ATOMS, (rows, 1), generator=generator)
    return torch.randn(rows, WIDTH, generator=generator)


def calibrated_network(name: str, bits: int, roundings: Roundings = "all") -> Architecture:
    """Builds a network at so many bits and calibrates its ranges on random features of a small graph.

    Args:
        name: of the network.
        bits: of its sites.
        roundings: see Architecture; those of two layers have all.
    """
    torch.manual_seed(0)
    scheme = QuantScheme("benchmark", bits)
    of_molecules = OF_MOLECULES.get(name)
    network = network_of_molecules(of_molecules, scheme, roundings) if of_molecules else NETWORKS[name](scheme)
    network.eval()
    nodes, edges = superpixels(graphs=20)
    x = features(name, nodes) if name in OF_MOLECULES else torch.randn(nodes, WIDTH)
    calibrate(network, lambda: network(x, torch.from_numpy(edges)))
    return network
