"""Times forwards of networks of one's own: each by PyG in FP32 and as programs, all interleaved in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn
from torch_geometric.data import Data

from app.benchmarks.command import output_of, write_figures
from app.benchmarks.generated_graphs import superpixels
from app.cli.console import standard_output
from app.cli.output import output_file
from app.engine import Executable
from app.engine.compilation import compile_note
from app.engine.files import write_atomically
from app.runs.exactness import graph_of
from app.runs.timing import interleaved, processor
from models.conversion import PreparedNetwork, prepare
from models.quantization.control import calibrate
from models.tasks.named import load_all, made

PEER = "PyG FP32"
BITS = (8, 4)

Call = Callable[[], object]


def benchmark_networks(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table, optionally writes JSON and a page."""
    output = output_of(options)
    page = output_file(options.page, "--page") if options.page else None
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    makers = {label: make for name in options.names for label, make in load_all(name).items()}
    sizes = {"graphs": options.graphs, "features": options.features, "width": options.width}
    figures = measure(makers, **sizes, threads=options.threads, repeats=options.repeats)
    console = standard_output()
    console.print(table_of(figures))
    console.print(f"{processor()}; {compile_note()}", highlight=False, soft_wrap=True)
    if output:
        write_figures(output, figures, console)
    if page:
        write_atomically(page, page_of(figures, options))
        console.print(f"page in {page}", highlight=False, soft_wrap=True)
    return 0


def measure(
    makers: Mapping[str, Callable[..., nn.Module]],
    *,
    graphs: int,
    features: int,
    width: int,
    threads: int,
    repeats: int,
) -> dict[str, Any]:
    """Times all networks on one batch of graphs, each in FP32 by PyG and as an INT8 and an INT4 program.

    Ranges are calibrated on the batch: these programs are for speed. Arguments called `width`, or as in `made`, are
    given; all others keep their defaults.

    Returns:
        `nodes`, `edges`, `threads`, and `rows`: of each network its name, milliseconds as in `Timing` by candidate, and
        `ratios` (median of the peer over that of each program).
    """
    nodes, edges = superpixels(graphs)
    batch = Data(
        x=torch.randn(nodes, features),
        edge_index=torch.from_numpy(edges),
        edge_weight=torch.rand(edges.shape[1]) + 0.1,
        batch=torch.arange(nodes) // (nodes // graphs),
        num_nodes=nodes,
        num_graphs=graphs,
    )
    calls: dict[tuple[str, str], Call] = {}
    for label, make in makers.items():
        network = made(make, label, {}, {"features": features, "logits": 10, "width": width}).eval()
        calls |= {(label, name): call for name, call in candidates(network, batch, threads).items()}
    timings = interleaved(calls, repeats)
    rows = []
    for label in makers:
        times = {name: timing for (own, name), timing in timings.items() if own == label}
        ratios = {name: times[PEER].median / timing.median for name, timing in times.items()}
        rows.append({"network": label, "times": {k: asdict(v) for k, v in times.items()}, "ratios": ratios})
    return {"nodes": nodes, "edges": edges.shape[1], "threads": threads, "rows": rows}


def candidates(network: nn.Module, batch: Data, threads: int) -> dict[str, Call]:
    """The forwards of a network on a batch: its own, and those of its programs."""
    given = with_categories(prepare(network), batch)
    arguments = prepare(network).arguments_for(given)
    found: dict[str, Call] = {PEER: torch.inference_mode()(partial(network, **arguments))}
    for bits in BITS:
        quantized = prepare(network, f"ptq_int{bits}")
        calibrate(quantized, partial(quantized, **arguments))
        program = Executable(quantized.lower(), threads=threads)
        found[f"INT{bits}"] = partial(program.run, given.x.numpy(), graph_of(given, program))
    return found


def with_categories(network: PreparedNetwork, batch: Data) -> Data:
    """The batch, with a category of each node in place of features where the network reads these."""
    if not network.reads_categories:
        return batch
    changed = batch.clone()
    changed.x = torch.randint(network.in_features, (len(batch.x), 1))
    return changed


HEADINGS = ("network", "PyG FP32 ms", *(text for bits in BITS for text in (f"INT{bits} ms", f"PyG / INT{bits}")))


def cells_of(figures: Mapping[str, Any]) -> list[list[str]]:
    """The rows of the table, as text."""
    return [
        [
            row["network"],
            f"{row['times'][PEER]['median']:.2f}",
            *(
                text
                for name in (f"INT{bits}" for bits in BITS)
                for text in (f"{row['times'][name]['median']:.2f}", f"{row['ratios'][name]:.1f}x")
            ),
        ]
        for row in figures["rows"]
    ]


def table_of(figures: Mapping[str, Any]) -> Table:
    """The figures of `measure` for the screen."""
    table = Table(title=f"Median of one forward on {figures['nodes']:,} nodes, {figures['edges']:,} edges")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    for cells in cells_of(figures):
        table.add_row(*cells)
    return table


def page_of(figures: Mapping[str, Any], options: argparse.Namespace) -> str:
    """The figures as a page of Markdown, with the command that made it."""
    sizes = f"--graphs {options.graphs} --features {options.features} --width {options.width}"
    command = f"{' '.join(options.names)} {sizes} --threads {options.threads} --repeats {options.repeats}"
    rows = [list(HEADINGS), ["---", *("---:" for _ in HEADINGS[1:])], *cells_of(figures)]
    return f"""# Latency of networks of one's own

[Results](../RESULTS.md) · written by

```
python train.py benchmark networks {command} --page {Path(options.page).as_posix()}
```

One forward on a generated batch of {options.graphs:,} superpixel graphs ({figures["nodes"]:,} nodes,
{figures["edges"]:,} edges), medians of {options.repeats} calls, all candidates interleaved in one run. PyG runs the
network as it is written, the programs what `prepare` makes of it, with ranges from this batch.
{processor()}, {figures["threads"]} thread(s).

{chr(10).join("| " + " | ".join(row) + " |" for row in rows)}
"""
