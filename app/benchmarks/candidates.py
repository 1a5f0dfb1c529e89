"""Two-layer networks, and what runs them: PyG, torch, the FP32 peer and the integer engine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from app.benchmarks.peers.fused import FusedNetwork
from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.workloads import WORKLOADS, superpixels
from app.engine import Executable, Graph
from app.errors import UserError
from datamodules.base import DataError
from models.architectures import GAT, GCN, GIN, Architecture
from models.quantization.control import calibrate
from models.quantization.qconfig import QuantScheme

WIDTH = 128
"""Of features, hidden rows and logits, as in the paper."""

NETWORKS: Mapping[str, Callable[[QuantScheme], Architecture]] = {
    "gcn": lambda scheme: GCN(WIDTH, WIDTH, scheme, hidden=WIDTH),
    "gcn_factored": lambda scheme: GCN(WIDTH, WIDTH, scheme, norm="factored", hidden=WIDTH),
    "gin": lambda scheme: GIN(WIDTH, WIDTH, scheme, hidden=WIDTH, mlp_layers=2),
    "gat": lambda scheme: GAT(WIDTH, WIDTH, scheme, hidden=WIDTH // 8, heads=8, activation="relu"),
}

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
    adjacency = csr(inputs.edge_index, len(inputs.x), torch.ones(inputs.num_edges))
    return lambda: peer(inputs.x, adjacency)


def bare(network: Architecture, inputs: Inputs) -> Call:
    """A GCN as torch.mm and products with the normalised adjacency."""
    x, edge_index = inputs.x, inputs.edge_index
    others = edge_index[:, edge_index[0] != edge_index[1]]
    edges = torch.cat([others, torch.arange(len(x)).expand(2, -1)], dim=1)
    scale = torch.bincount(edges[1], minlength=len(x)).float().rsqrt()
    adjacency = csr(edges, len(x), scale[edges[0]] * scale[edges[1]])

    convs: list[Any] = list(cast(GCN, network).convs)
    weights, biases = [conv.weight for conv in convs], [conv.bias for conv in convs]

    @torch.inference_mode()
    def forward() -> Tensor:
        h = torch.relu_((adjacency @ (x @ weights[0])).add_(biases[0]))
        return (adjacency @ (h @ weights[1])).add_(biases[1])

    return forward


def csr(edge_index: Tensor, nodes: int, values: Tensor) -> Tensor:
    """The adjacency, rows being targets."""
    sources, targets = edge_index
    return torch.sparse_coo_tensor(torch.stack([targets, sources]), values, (nodes, nodes)).coalesce().to_sparse_csr()


PEERS: Mapping[str, Peer] = {
    "PyG eager": Peer(eager, lambda name: MESSAGE_BYTES),
    "PyG on CSR": Peer(on_csr, lambda name: inf if name == "gat" else CSR_BYTES),  # attention is no product of matrices
    "torch.mm + CSR": Peer(bare, lambda name: CSR_BYTES if name in ("gcn", "gcn_factored") else inf),
}


def with_threads(call: Call, threads: int) -> Call:
    """`call` with so many threads of torch."""

    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run
