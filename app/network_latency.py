"""`benchmark latency`: the engine against PyG and torch on two-layer networks, interleaved in one run."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from app import roofline
from app.cli import UserError
from app.engine import Executable, Graph
from app.experiments import versions
from app.fused_peer import FusedNetwork
from app.lightning_cli import prepare_process
from app.memory import peak_growth
from app.pyg_peer import PyGNetwork
from app.runs import output_file, write_atomically
from app.timing import interleaved, processor
from app.workloads import WORKLOADS, superpixels
from models.architectures import GAT, GCN, GIN, Architecture
from models.quantization import files
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

PEER_MEMORY = 4e9
"""Bytes: a library peer that would take more than this is left out, and the table says so."""

CSR_BYTES = 120
"""What torch takes for an edge while it sorts them by rows."""

OWN = "own FP32"
"""The peer on the engine's own vectors, threads and memory."""

Call = Callable[[], object]


def benchmark_latency(options: argparse.Namespace, rest: list[str]) -> int:
    """The command: a table for every workload, optionally JSON."""
    prepare_process()
    output = output_file(options.output) if options.output else None
    picture = output_file(options.plot, "--plot") if options.plot else None
    plot = import_module("app.latency_plot") if picture else None  # what is missing is known before hours are spent
    for chosen, known in ((options.workload, WORKLOADS), (options.network, NETWORKS)):
        for name in chosen:
            if name not in known:
                raise UserError(f"benchmark latency: no {name!r}, expected one of {', '.join(known)}")
    root = Path(options.data_root or os.environ.get("DEGREE_QUANT_DATA", "data"))
    console, results, reached, numbers = Console(), [], [], sorted(set(options.threads or [1]))
    for workload in options.workload or ["cifar10", "zinc"]:
        nodes, edges, generated = WORKLOADS[workload](root)
        title, graph = f"{workload} (generated)" if generated else workload, Graph(edges, nodes)
        for network in options.network or NETWORKS:
            rows = measure(network, graph, edges, numbers, options.repeats)
            result = {"workload": title, "network": network, "nodes": nodes, "edges": edges.shape[1], "rows": rows}
            console.print(latency_table(result))
            results.append(result)
        rates = [rate for number in numbers for rate in roofline.measure(graph, number, options.repeats)]
        console.print(roofline.roofline_table(title, rates))
        reached.append({"workload": title, "rates": rates})
    exact = {name: codes_differing(name) for name in options.network or NETWORKS}
    console.print(f"codes that differ from the reference executor: {exact}", highlight=False)
    console.print(processor(), highlight=False)
    if output:
        about = {"processor": processor(), "cores": os.cpu_count(), "versions": versions(), "codes_differing": exact}
        write_atomically(output, json.dumps({"results": results, "roofline": reached} | about, indent=2) + "\n")
        console.print(f"figures in {output}", highlight=False, soft_wrap=True)
    if picture and plot:
        files.write_atomically(picture, plot.png(plot.speedups(results)))
        console.print(f"plot in {picture}", highlight=False, soft_wrap=True)
    return 0


def measure(name: str, graph: Graph, edges: np.ndarray, threads: list[int], repeats: int) -> list[dict[str, Any]]:
    """A row for every candidate and number of threads: milliseconds, growth of the peak memory, bytes of constants."""
    x = torch.randn(graph.num_nodes, WIDTH, generator=torch.Generator().manual_seed(0))
    edge_index = torch.from_numpy(edges)
    candidates: dict[tuple[str, int], Call] = {}
    float_bytes, constants = 4 * sum(p.numel() for p in network_of(name, 8).parameters()), {}
    for number in threads:
        for peer, call in peers(name, x, edge_index):
            candidates[peer, number] = with_threads(call, number)
        fused = FusedNetwork(network_of(name, 8), number)
        candidates[OWN, number] = with_threads(lambda fused=fused: fused(x, graph), number)  # type: ignore[misc]
        for bits in (8, 4):
            program = Executable(network_of(name, bits).lower(), threads=number)
            candidates[f"INT{bits}", number] = lambda program=program: program.run(x, graph)  # type: ignore[misc]
            constants[f"INT{bits}"] = program.num_bytes
    timings = interleaved(candidates, repeats, warmup=1)
    growth = {key: peak_growth(call) for key, call in candidates.items()}
    rows: list[dict[str, Any]] = [
        {
            "name": key[0], "threads": key[1], **asdict(timing),
            "peak_growth_bytes": growth[key], "constant_bytes": constants.get(key[0], float_bytes),
        }
        for key, timing in timings.items()
    ]  # fmt: skip
    return [row | {"ratios": ratios(row, rows)} for row in rows]


def network_of(name: str, bits: int) -> Architecture:
    """A network of random weights, its ranges calibrated on random features of a small workload."""
    torch.manual_seed(0)
    network = NETWORKS[name](QuantScheme("benchmark", bits)).eval()
    nodes, edges = superpixels(graphs=20)
    x = torch.randn(nodes, WIDTH)
    calibrate(network, lambda: network(x, torch.from_numpy(edges)))
    return network


def peers(name: str, x: Tensor, edge_index: Tensor) -> Iterator[tuple[str, Call]]:
    """FP32 forwards of the same network: PyG by gather and scatter, PyG on CSR, bare torch on CSR."""
    network = network_of(name, 8)
    eager, on_rows = PyGNetwork(network).eval(), PyGNetwork(network).eval()
    if 4 * WIDTH * edge_index.shape[1] < PEER_MEMORY:
        yield "PyG eager", lambda: eager(x, edge_index)
    if isinstance(network, GAT) or CSR_BYTES * edge_index.shape[1] > PEER_MEMORY:
        return  # attention has no product of matrices
    adjacency = csr(edge_index, len(x), torch.ones(edge_index.shape[1]))
    yield "PyG on CSR", lambda: on_rows(x, adjacency)
    if isinstance(network, GCN):
        yield "torch.mm + CSR", bare_gcn(network, x, edge_index)


def bare_gcn(network: GCN, x: Tensor, edge_index: Tensor) -> Call:
    """The network as torch.mm and products with the normalised adjacency."""
    others = edge_index[:, edge_index[0] != edge_index[1]]
    edges = torch.cat([others, torch.arange(len(x)).expand(2, -1)], dim=1)
    scale = torch.bincount(edges[1], minlength=len(x)).float().rsqrt()
    adjacency = csr(edges, len(x), scale[edges[0]] * scale[edges[1]])

    convs: list[Any] = list(network.convs)
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


def with_threads(call: Call, threads: int) -> Call:
    """`call` with so many threads of torch."""

    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run


def codes_differing(name: str) -> int:
    """Values on a small workload, over all ops at both bits, that differ between compiled kernels and reference."""
    nodes, edges = superpixels(graphs=3, seed=1)
    x = np.random.default_rng(1).normal(size=(nodes, WIDTH)).astype(np.float32)
    differing = 0
    for bits in (8, 4):
        program = network_of(name, bits).lower()
        expected = Executable(program, "reference").trace(x, edges)
        got = Executable(program).trace(x, edges)
        differing += sum(int((got[key] != value).sum()) for key, value in expected.items() if value.dtype.kind in "iu")
    return differing


def latency_table(result: Mapping[str, Any]) -> Table:
    """The rows of a result, and what its references (`references`) take compared with each."""
    title = f"{result['network']} on {result['workload']}: {result['nodes']:,} nodes, {result['edges']:,} edges"
    table = Table(title=title)
    columns = ["", "threads", "fastest ms", "median ms", *(f"{name} / this" for name in REFERENCES), "MB at peak"]
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right" if column else "left", no_wrap=True)
    for row in result["rows"]:
        ratios = [row["ratios"][name] for name in REFERENCES]
        growth = row["peak_growth_bytes"]
        table.add_row(
            row["name"], str(row["threads"]), f"{row['fastest']:.2f}", f"{row['median']:.2f}",
            *(f"{ratio:.1f}x" if ratio else "not run" for ratio in ratios),
            "" if growth is None else f"{growth / 1e6:.0f}",
        )  # fmt: skip
    return table


REFERENCES: Mapping[str, Callable[[str], bool]] = {
    "PyG eager": lambda name: name == "PyG eager",
    "best library FP32": lambda name: name != OWN and not name.startswith("INT"),
    OWN: lambda name: name == OWN,
}
"""What a row is compared with: the fastest of the rows with as many threads whose names belong to it."""


def ratios(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """How many times as long as `row` each of REFERENCES takes, by the fastest calls; None where it was not run."""
    found: dict[str, float | None] = {}
    for reference, belongs in REFERENCES.items():
        times = [other["fastest"] for other in rows if other["threads"] == row["threads"] and belongs(other["name"])]
        found[reference] = min(times) / row["fastest"] if times else None
    return found
