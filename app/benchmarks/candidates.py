"""What can run a benchmark network: PyG, bare torch, the FP32 peer on the engine's kernels, and the integer engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from app.benchmarks.libraries import onnx_runtime, scipy_blas, torch_compiled
from app.benchmarks.networks import OF_MOLECULES, calibrated_network
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.float_ops import FloatOps
from app.benchmarks.peers.fused import FusedNetwork
from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.peers.registry import BY_NETWORK
from app.benchmarks.peers.stock import csr_adjacency
from app.benchmarks.workloads import Inputs
from app.engine import CPU, Executable
from app.engine.graph import read_graph
from models.architectures import Architecture
from models.quantization.sites import Roundings

MESSAGE_BYTES = 2 * 4 * WIDTH
"""Memory of an edge's messages in PyG: as gathered, and weighted."""

CSR_BYTES = 120
"""Memory that torch takes for an edge while it sorts them by rows."""

PYG_EAGER = "PyG eager"
OWN = "own FP32"
"""The peer on the engine's own vectors, threads and memory."""

OWN_HALF = "own FP16"
"""The same on a GPU in half precision."""

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


def candidates_for(name: str, *, more: bool = False, device: str = CPU) -> dict[str, Candidate]:
    """All that can run the network with this name, by the names and in the order of tables.

    Args:
        more: also torch.compile and ONNX Runtime, which take up to a minute to prepare, and the program on a graph that
            every call builds anew.
        device: of the engine; on another than the CPU torch.compile is always among them, libraries of the CPU never.
    """
    on_cpu = device == CPU
    peers = BY_NETWORK.get(name)  # None of other networks than those of two layers
    products = peers.matrix_products if peers else None
    found = {PYG_EAGER: of_library(name, pyg_eager, MESSAGE_BYTES)}
    if peers is None or peers.on_csr:
        found["PyG on CSR"] = of_library(name, pyg_on_csr, CSR_BYTES)
    if products is not None:
        found["torch.mm + CSR"] = of_library(
            name, lambda network, inputs: products(network, inputs.x, inputs.edge_index), CSR_BYTES
        )
    if on_cpu and peers and peers.layer in scipy_blas.LAYERS:
        found["SciPy + BLAS"] = Candidate(partial(prepare_scipy, name))
    if (more or not on_cpu) and peers:  # of torch 2.13 the compiler fails on embeddings in inference mode
        found["torch.compile"] = Candidate(
            partial(prepare_compiled, name), MESSAGE_BYTES, missing=torch_compiled.missing()
        )
    if more and on_cpu:
        found["ONNX Runtime"] = Candidate(partial(prepare_onnx, name), MESSAGE_BYTES, missing=onnx_runtime.missing())
    if peers and on_cpu:
        found[OWN] = Candidate(partial(prepare_fused, name), own=True)
    elif peers:
        for label, dtype in ((OWN, torch.float32), (OWN_HALF, torch.float16)):
            found[label] = Candidate(partial(prepare_fused_on, device, name, dtype=dtype), own=True)
    for bits in (8, 4):
        found[f"INT{bits}"] = Candidate(partial(prepare_program, name, bits, device=device), own=True)
        if name in OF_MOLECULES:
            needed = partial(prepare_program, name, bits, device=device, roundings="needed")
            found[f"INT{bits}, fewer roundings"] = Candidate(needed, own=True)
    if more:
        again = partial(prepare_program, name, 8, device=device, new_graph=True)
        found["INT8, new graph"] = Candidate(again, own=True)
    return found


def of_library(name: str, make_forward: Callable[[Architecture, Inputs], Call], edge_bytes: int) -> Candidate:
    """A candidate that runs the network of a name in FP32 by a library, on torch's threads."""

    def prepare(inputs: Inputs, threads: int) -> Prepared:
        network = calibrated_network(name, 8)
        return Prepared(with_threads(make_forward(network, inputs), threads), float_bytes(network))

    return Candidate(prepare, edge_bytes)


def pyg_eager(network: Architecture, inputs: Inputs) -> Call:
    """PyG by gather and scatter."""
    peer = PyGNetwork(network).eval().to(inputs.x.device)
    return lambda: peer(inputs.x, inputs.edge_index)


def pyg_on_csr(network: Architecture, inputs: Inputs) -> Call:
    """PyG by products with the adjacency, made beforehand."""
    peer = PyGNetwork(network).eval().to(inputs.x.device)
    adjacency = csr_adjacency(inputs.edge_index, len(inputs.x), torch.ones(inputs.num_edges, device=inputs.x.device))
    return lambda: peer(inputs.x, adjacency)


def prepare_fused(name: str, inputs: Inputs, threads: int) -> Prepared:
    """The FP32 peer on the engine's kernels and threads."""
    network = calibrated_network(name, 8)
    fused = FusedNetwork(network, FloatOps(threads))
    return Prepared(lambda: fused(inputs.x, inputs.graph), float_bytes(network))


def prepare_fused_on(device: str, name: str, inputs: Inputs, threads: int, *, dtype: torch.dtype) -> Prepared:
    """The same on a device of the engine, in one precision."""
    from app.benchmarks.cuda.float_ops import DeviceFloatOps  # needs Triton

    network, x = calibrated_network(name, 8), inputs.x.to(dtype)
    fused = FusedNetwork(network, DeviceFloatOps(device, dtype))
    return Prepared(lambda: fused(x, inputs.graph), float_bytes(network) * dtype.itemsize // 4)


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


def prepare_program(
    name: str,
    bits: int,
    inputs: Inputs,
    threads: int,
    *,
    device: str = CPU,
    new_graph: bool = False,
    roundings: Roundings = "all",
) -> Prepared:
    """The integer program in the engine, features where it runs; `new_graph`: every call gets edges and no graph."""
    program = Executable(calibrated_network(name, bits, roundings).lower(), threads=threads, device=device)
    edges = inputs.edge_index.cpu().numpy() if new_graph else inputs.graph
    if device == CPU:
        x = inputs.x.numpy()
        return Prepared(lambda: program.run(x, edges), program.num_bytes)
    placed = program.place(inputs.x.cpu())
    return Prepared(lambda: program.run_placed(placed, read_graph(edges, len(placed))), program.num_bytes)


def with_threads(call: Call, threads: int) -> Call:
    """Returns a function that sets torch's number of threads and then makes the call."""

    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run
