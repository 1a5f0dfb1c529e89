"""What can run a benchmark network: PyG, bare torch, the FP32 peer on the engine's kernels, and the integer engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from app.benchmarks.libraries import onnx_runtime, scipy_blas, torch_compiled
from app.benchmarks.networks import calibrated_network
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.fused import FusedNetwork
from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.peers.registry import BY_NETWORK
from app.benchmarks.peers.stock import csr_adjacency
from app.benchmarks.workloads import Inputs
from app.engine import Executable
from models.architectures import Architecture

MESSAGE_BYTES = 2 * 4 * WIDTH
"""Memory of an edge's messages in PyG: as gathered, and weighted."""

CSR_BYTES = 120
"""Memory that torch takes for an edge while it sorts them by rows."""

PYG_EAGER = "PyG eager"
OWN = "own FP32"
"""The peer on the engine's own vectors, threads and memory."""

Call = Callable[[], object]


class Prepared(NamedTuple):
    """A forward on fixed inputs, and the bytes of its constants."""

    forward: Call
    constant_bytes: int


class NotPreparedError(RuntimeError):
    """A library could not prepare or make its first forward; the message begins with "could not be prepared"."""


@dataclass(frozen=True)
class Candidate:
    """Something that can run a network.

    Args:
        prepare: makes the forward on inputs with a number of threads.
        edge_bytes: memory that the forward takes for every edge; 0 if it stores nothing for edges.
        missing: what it needs and this machine lacks, in words; None: nothing.
        own: whether it is ours: its faults are ours too, and are shown as such.
    """

    prepare: Callable[[Inputs, int], Prepared]
    edge_bytes: int = 0
    missing: str | None = None
    own: bool = False

    def started(self, inputs: Inputs, threads: int) -> Prepared:
        """Returns the forward, which has been made once: libraries compile in the first one.

        Raises:
            NotPreparedError: if another's library fails, in whatever way.
        """
        try:
            prepared = self.prepare(inputs, threads)
            prepared.forward()
        except Exception as error:
            if self.own:
                raise
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason is given")
            raise NotPreparedError(f"could not be prepared: {type(error).__name__}: {reason}") from error
        return prepared

    def fits(self, inputs: Inputs, memory: float) -> bool:
        """Whether what it stores for the edges takes less than so many bytes."""
        return self.edge_bytes * inputs.num_edges < memory

    def why_not(self, inputs: Inputs, memory: float) -> str | None:
        """Why it cannot run on inputs with so many bytes of memory, in words; None: it can."""
        too_much = None if self.fits(inputs, memory) else "would take too much memory"
        return self.missing or too_much


def candidates_for(name: str, *, more: bool = False) -> dict[str, Candidate]:
    """All that can run the network with this name, by the names and in the order of tables.

    Args:
        more: also torch.compile and ONNX Runtime, which take up to a minute to prepare, and the program on a graph that
            every call builds anew.
    """
    peers = BY_NETWORK.get(name)  # None of other networks than those of two layers
    products = peers.matrix_products if peers else None
    found = {PYG_EAGER: of_library(name, pyg_eager, MESSAGE_BYTES)}
    if peers is None or peers.on_csr:
        found["PyG on CSR"] = of_library(name, pyg_on_csr, CSR_BYTES)
    if products is not None:
        found["torch.mm + CSR"] = of_library(
            name, lambda network, inputs: products(network, inputs.x, inputs.edge_index), CSR_BYTES
        )
    if peers and peers.layer in scipy_blas.LAYERS:
        found["SciPy + BLAS"] = Candidate(partial(prepare_scipy, name))
    if more and peers:  # of torch 2.13 the compiler fails on embeddings in inference mode
        found["torch.compile"] = Candidate(
            partial(prepare_compiled, name), MESSAGE_BYTES, missing=torch_compiled.missing()
        )
    if more:
        found["ONNX Runtime"] = Candidate(partial(prepare_onnx, name), MESSAGE_BYTES, missing=onnx_runtime.missing())
    if peers:
        found[OWN] = Candidate(partial(prepare_fused, name), own=True)
    for bits in (8, 4):
        found[f"INT{bits}"] = Candidate(partial(prepare_program, name, bits), own=True)
    if more:
        found["INT8, new graph"] = Candidate(partial(prepare_program, name, 8, new_graph=True), own=True)
    return found


def of_library(name: str, make_forward: Callable[[Architecture, Inputs], Call], edge_bytes: int) -> Candidate:
    """A candidate that runs the network of a name in FP32 by a library, on torch's threads."""

    def prepare(inputs: Inputs, threads: int) -> Prepared:
        network = calibrated_network(name, 8)
        return Prepared(with_threads(make_forward(network, inputs), threads), float_bytes(network))

    return Candidate(prepare, edge_bytes)


def pyg_eager(network: Architecture, inputs: Inputs) -> Call:
    """PyG by gather and scatter."""
    peer = PyGNetwork(network).eval()
    return lambda: peer(inputs.x, inputs.edge_index)


def pyg_on_csr(network: Architecture, inputs: Inputs) -> Call:
    """PyG by products with the adjacency, made beforehand."""
    peer = PyGNetwork(network).eval()
    adjacency = csr_adjacency(inputs.edge_index, len(inputs.x), torch.ones(inputs.num_edges))
    return lambda: peer(inputs.x, adjacency)


def prepare_fused(name: str, inputs: Inputs, threads: int) -> Prepared:
    """The FP32 peer on the engine's kernels; its matrix products run on as many threads of torch."""
    network = calibrated_network(name, 8)
    fused = FusedNetwork(network, threads)
    return Prepared(with_threads(lambda: fused(inputs.x, inputs.graph), threads), float_bytes(network))


def prepare_scipy(name: str, inputs: Inputs, threads: int) -> Prepared:
    """SciPy and BLAS."""
    network = calibrated_network(name, 8)
    return Prepared(scipy_blas.forward_of(network, inputs, threads), float_bytes(network))


def prepare_compiled(name: str, inputs: Inputs, threads: int) -> Prepared:
    """PyG by gather and scatter, compiled."""
    network = calibrated_network(name, 8)
    return Prepared(with_threads(torch_compiled.forward_of(network, inputs), threads), float_bytes(network))


def prepare_onnx(name: str, inputs: Inputs, threads: int) -> Prepared:
    """ONNX Runtime."""
    return Prepared(onnx_runtime.forward_of(name, inputs, threads), float_bytes(calibrated_network(name, 8)))


def prepare_program(name: str, bits: int, inputs: Inputs, threads: int, *, new_graph: bool = False) -> Prepared:
    """The integer program in the engine; `new_graph`: every call gets edges and no graph."""
    program = Executable(calibrated_network(name, bits).lower(), threads=threads)
    x, edges = inputs.x.numpy(), inputs.edge_index.numpy() if new_graph else inputs.graph
    return Prepared(lambda: program.run(x, edges), program.num_bytes)


def with_threads(call: Call, threads: int) -> Call:
    """Returns a function that sets torch's number of threads and then makes the call."""

    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run
