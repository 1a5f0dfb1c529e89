"""Two-layer networks, and what runs them: PyG, torch, the FP32 peer and the integer engine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.fused import FusedNetwork
from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.peers.registry import BY_LAYER, BY_NETWORK, NETWORKS
from app.benchmarks.peers.stock import csr_adjacency
from app.benchmarks.workloads import WORKLOADS, superpixels
from app.engine import Executable, Graph
from app.errors import UserError
from datamodules.base import DataError
from models.architectures import Architecture
from models.quantization.control import calibrate
from models.quantization.qconfig import QuantScheme

CSR_BYTES = 120
"""What torch takes for an edge while it sorts them by rows."""

ALL, LARGEST = "all", "reddit_full"
"""A word for all workloads, and the one that it leaves out."""

MESSAGE_BYTES = 2 * 4 * WIDTH
"""Of the messages of an edge: as gathered, and weighted."""

OWN = "own FP32"
"""The peer on the engine's own vectors, threads and memory."""

Call = Callable[[], object]
Build = Callable[["Inputs", int], tuple[Call, int]]
"""Prepares a forward on so many threads; and says how many bytes its constants have."""


class Inputs:
    """Features of the nodes, and edges as every candidate likes them."""

    def __init__(self, nodes: int, edges: np.ndarray) -> None:
        self.x = torch.randn(nodes, WIDTH, generator=torch.Generator().manual_seed(0))
        self.edge_index = torch.from_numpy(edges)

    @cached_property
    def graph(self) -> Graph:
        """As the engine reads it."""
        return Graph(self.edge_index.numpy(), len(self.x))

    @property
    def num_edges(self) -> int:
        """E."""
        return self.edge_index.shape[1]


def check_names(command: str, options: argparse.Namespace, *also: str) -> None:
    """Raises UserError for a workload (or word `also` taken for some) or network that there is not."""
    for chosen, known in ((options.workload, [*WORKLOADS, *also]), (options.network, NETWORKS)):
        for name in chosen:
            if name not in known:
                raise UserError(f"{command}: no {name!r}, expected one of {', '.join(known)}")


def workloads(names: Sequence[str], root: Path, tell: Callable[[str], object]) -> Iterator[tuple[str, Inputs]]:
    """Workloads, one after the other; ALL: every one that takes no more than minutes and whose files are there."""
    if ALL not in names:
        yield from (load(name, root) for name in names)
        return
    for name in WORKLOADS:
        if name != LARGEST:
            try:
                yield load(name, root)
            except DataError as error:
                tell(f"{name} is left out: {error}")


def load(workload: str, root: Path) -> tuple[str, Inputs]:
    """A workload, and what tables call it."""
    nodes, edges, generated = WORKLOADS[workload](root)
    return f"{workload} (generated)" if generated else workload, Inputs(nodes, edges)


def choice(network: str) -> dict[str, Build]:
    """What runs the network, in the order of tables."""
    found: dict[str, Build] = {name: partial(library, peer.build, network) for name, peer in PEERS.items()
                               if peer.needs(network) < inf}  # fmt: skip
    found[OWN] = partial(own, network)
    return found | {f"INT{bits}": partial(engine, network, bits) for bits in (8, 4)}


def library(build: BuildPeer, name: str, inputs: Inputs, threads: int) -> tuple[Call, int]:
    """A peer on so many threads of torch."""
    network = network_of(name, 8)
    return with_threads(build(network, inputs), threads), float_bytes(network)


def own(name: str, inputs: Inputs, threads: int) -> tuple[Call, int]:
    """The FP32 peer on the engine's vectors; its products of matrices are torch's."""
    network = network_of(name, 8)
    fused = FusedNetwork(network, threads)
    call = with_threads(lambda: fused(inputs.x, inputs.graph), threads)
    return call, float_bytes(network)


def engine(name: str, bits: int, inputs: Inputs, threads: int) -> tuple[Call, int]:
    """The integer program."""
    program = Executable(network_of(name, bits).lower(), threads=threads)
    return lambda: program.run(inputs.x, inputs.graph), program.num_bytes


def network_of(name: str, bits: int) -> Architecture:
    """A network of random weights, its ranges calibrated on random features of a small workload."""
    torch.manual_seed(0)
    network = NETWORKS[name](QuantScheme("benchmark", bits)).eval()
    nodes, edges = superpixels(graphs=20)
    x = torch.randn(nodes, WIDTH)
    calibrate(network, lambda: network(x, torch.from_numpy(edges)))
    return network


BuildPeer = Callable[[Architecture, Inputs], Call]


class Peer(NamedTuple):
    """An FP32 forward, and the bytes it takes for an edge of the network of a name; inf: it cannot run that."""

    build: BuildPeer
    needs: Callable[[str], float]


def eager(network: Architecture, inputs: Inputs) -> Call:
    """PyG by gather and scatter."""
    peer = PyGNetwork(network).eval()
    return lambda: peer(inputs.x, inputs.edge_index)


def on_csr(network: Architecture, inputs: Inputs) -> Call:
    """PyG by products with the adjacency."""
    peer = PyGNetwork(network).eval()
    adjacency = csr_adjacency(inputs.edge_index, len(inputs.x), torch.ones(inputs.num_edges))
    return lambda: peer(inputs.x, adjacency)


def bare(network: Architecture, inputs: Inputs) -> Call:
    """torch.mm and products with the adjacency."""
    peers = BY_LAYER[type(network.convs[0])]
    assert peers.matrix_products is not None
    return peers.matrix_products(network, inputs.x, inputs.edge_index)


PEERS: Mapping[str, Peer] = {
    "PyG eager": Peer(eager, lambda name: MESSAGE_BYTES),
    "PyG on CSR": Peer(on_csr, lambda name: CSR_BYTES if BY_NETWORK[name].on_csr else inf),
    "torch.mm + CSR": Peer(bare, lambda name: CSR_BYTES if BY_NETWORK[name].matrix_products else inf),
}


def with_threads(call: Call, threads: int) -> Call:
    """`call` with so many threads of torch."""

    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run
