"""Options of the benchmarks; see `options`. Imports nothing heavy."""

from __future__ import annotations

import argparse
from typing import Any

from app.cli.options import add_experiments, add_json_output, add_trained_run, at_least, count_of_threads


def two_counts(text: str) -> tuple[int, int]:
    """Reads two whole numbers from 1 on, as in 100000:100.

    Raises:
        ArgumentTypeError: if they are not.
    """
    first, _, second = text.partition(":")
    count = at_least(1)
    try:
        return count(first), count(second)
    except argparse.ArgumentTypeError as problem:
        raise argparse.ArgumentTypeError(
            f"expected two whole numbers from 1 on, as in 9000:9, got {text!r}"
        ) from problem


def add_benchmark_networks(parser: argparse.ArgumentParser, workloads: str) -> None:
    """Adds which networks to benchmark on which data, and --output; `workloads` is the help of --workload."""
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "NAME"}
    parser.add_argument("--workload", help=workloads, **several)
    parser.add_argument("--network", help="such as gcn or gat; a wrong name lists them (default: all)", **several)
    parser.add_argument("--data-root", metavar="DIR", help="of raw data (default: $DEGREE_QUANT_DATA or data)")
    add_json_output(parser)


def add_device(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds --device; `what` is said of it."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help=f"{what} (default: cpu)")


def benchmark(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark`."""
    add_trained_run(parser)
    parser.add_argument("--repeats", type=at_least(2), default=50, metavar="N", help="timed calls (default: 50)")
    parser.add_argument(
        "--threads", type=count_of_threads, default=1, metavar="N", help="for the FP32 peer (default: 1)"
    )
    add_json_output(parser)


def benchmark_training(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark training`."""
    add_experiments(parser)
    parser.add_argument("--steps", type=at_least(2), default=200, metavar="N", help="timed steps (default: 200)")
    parser.add_argument("--threads", type=count_of_threads, default=1, metavar="N", help="CPU threads (default: 1)")
    add_device(parser, "where steps run")
    add_json_output(parser)


def benchmark_latency(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark latency`."""
    add_benchmark_networks(
        parser, "cifar10, zinc, reddit_binary, ..., or all but reddit_full: all (default: cifar10, zinc)"
    )
    parser.add_argument("--threads", help="CPU threads (default: 1)", action="append",
                        type=count_of_threads, default=[], metavar="N")  # fmt: skip
    add_device(parser, "where networks run; on cuda with torch.compile, own FP32 and FP16, and memory")
    parser.add_argument("--repeats", type=at_least(2), default=5, metavar="N", help="timed calls (default: 5)")
    told = "also torch.compile and ONNX Runtime, a minute more a network, and programs on graphs built anew"
    parser.add_argument("--libraries", action="store_true", help=told)
    parser.add_argument("--plot", file="written", metavar="FILE.png", help="also draw them as bars; needs Matplotlib")


def benchmark_networks(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark networks`."""
    told = "networks written for PyG, or mappings from names to such"
    parser.add_argument("names", metavar="MODULE:NAME", nargs="+", help=told)
    sizes = {"graphs": (100, "superpixel graphs"), "features": (64, "features of nodes"), "width": (64, "of layers")}
    for name, (number, what) in sizes.items():
        parser.add_argument(f"--{name}", type=at_least(1), default=number, metavar="N", help=f"{what} ({number})")
    parser.add_argument("--threads", type=count_of_threads, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--repeats", type=at_least(2), default=20, metavar="N", help="timed calls (default: 20)")
    parser.add_argument("--page", file="written", metavar="FILE.md", help="also write the table as a page")
    add_json_output(parser)


def benchmark_callers(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark callers`."""
    add_benchmark_networks(parser, "one of `benchmark latency` (default: 1 and 64 molecules)")
    parser.add_argument("--callers", help="threads that call at once, several times for several (default: 1, 2, 8)",
                        action="append", type=count_of_threads, default=[], metavar="N")  # fmt: skip
    parser.add_argument("--gil", action="store_true", help="also with the GIL kept, and given up, in every call")
    parser.add_argument("--repeats", type=at_least(2), default=20, metavar="N", help="rounds (default: 20)")


def benchmark_memory(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark memory`."""
    add_benchmark_networks(parser, "one of `benchmark latency` (default: cifar10)")


def benchmark_scale(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark scale`."""
    add_experiments(parser)
    parser.add_argument("--threads", type=count_of_threads, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--size", help="of a generated graph, several times for several", action="append",
                        type=two_counts, default=[], metavar="NODES:PARTS")  # fmt: skip
    parser.add_argument("--page", file="written", metavar="FILE.md", help="also write the tables as a page")
    add_json_output(parser)


def benchmark_processors(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark processors`."""
    told = "one of `benchmark latency` (default: cifar10)"
    parser.add_argument("--workload", metavar="NAME", default="cifar10", help=told)
    parser.add_argument("--threads", type=count_of_threads, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--repeats", type=at_least(2), default=10, metavar="N", help="timed calls (default: 10)")
    parser.add_argument("--data-root", metavar="DIR", help="of raw data (default: $DEGREE_QUANT_DATA or data)")
    add_json_output(parser)
