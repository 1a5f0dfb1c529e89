"""The table of commands and their options. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.cli.options import at_least, data, data_sets, place, report, reproduce, sensitivity, tune


@dataclass(frozen=True)
class Command:
    """A subcommand: its help line, its function as `module:function`, its options.

    `open_ended`: options it does not know go on to the Lightning command line. `check`: a function like `target` that
    finds what is wrong with the options before anything heavy is imported.
    """

    help: str
    target: str
    options: Callable[[argparse.ArgumentParser], None]
    open_ended: bool = False
    check: str | None = None


def _experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cell", action="append", default=[], metavar="DATASET/ARCHITECTURE/SCHEME",
        help="what to run, e.g. cora/gcn/dq_int8; globs in quotes ('cora/*/dq_*'); may be repeated; see `list`",
    )  # fmt: skip
    parser.add_argument("--seed", default="0", metavar="K", help="seed, list or range: 3 or 0,4 or 0-9 (default: 0)")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="YAML on top of (or instead of) the cell"
    )
    place(parser)


def _fit(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument("--overwrite", action="store_true", help="repeat finished runs from the start")
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=1,
        metavar="N",
        help="CPU threads (default: 1; graphs of this size gain more from runs side by side)",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help="weights to start from: a run, a checkpoint, or a scheme (this cell and seed in it)",
    )


def _predict(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument(
        "--program", metavar="PATH", help="run this integer program instead of the run's own checkpoint"
    )
    parser.add_argument("--output", metavar="FILE.csv", required=True, help="where the predictions go")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", required=True, help="folder of a trained run")
    parser.add_argument("--output", metavar="PATH", help="where the program goes (default: program/ in the run)")
    parser.add_argument(
        "--float64", action="store_true", help="also compare both with the trained model computing in float64 (slow)"
    )


def _benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", required=True, help="folder of a trained run")
    parser.add_argument("--repeats", type=at_least(2), default=50, metavar="N", help="timed calls (default: 50)")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="for the FP32 peer (default: 1)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _benchmark_training(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument("--steps", type=at_least(2), default=200, metavar="N", help="timed steps (default: 200)")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _networks(parser: argparse.ArgumentParser, workloads: str) -> None:
    """What `benchmark latency` and `benchmark memory` run, on which data, and where the figures go."""
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "NAME"}
    parser.add_argument("--workload", help=workloads, **several)
    parser.add_argument("--network", help="gcn, gcn_factored, gin or gat (default: all)", **several)
    parser.add_argument("--data-root", metavar="DIR", help="of raw data (default: $DEGREE_QUANT_DATA or data)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _benchmark_latency(parser: argparse.ArgumentParser) -> None:
    _networks(parser, "cifar10, zinc, reddit_binary, ..., or all but reddit_full: all (default: cifar10, zinc)")
    parser.add_argument("--threads", help="CPU threads, several times for several (default: 1)", action="append",
                        type=at_least(1), default=[], metavar="N")  # fmt: skip
    parser.add_argument("--repeats", type=at_least(2), default=5, metavar="N", help="timed calls (default: 5)")
    parser.add_argument("--plot", metavar="FILE.png", help="also draw them as bars; needs Matplotlib")


def _benchmark_memory(parser: argparse.ArgumentParser) -> None:
    _networks(parser, "one of `benchmark latency` (default: cifar10)")


def _demo(parser: argparse.ArgumentParser) -> None:
    place(parser)
    parser.add_argument("--overwrite", action="store_true", help="train again what is finished")


def _none(parser: argparse.ArgumentParser) -> None:
    pass


CELLS = "app.config.cells:check_words"


COMMANDS: dict[str, Command] = {
    "fit": Command("train cells, choose on validation, test, export; resumes what was cut short",
                   "app.runs.fit:fit", _fit, True, CELLS),
    "validate": Command("evaluate a finished run on the validation split", "app.runs.evaluate:validate",
                        _experiment, True, CELLS),
    "test": Command("evaluate a finished run on the test split", "app.runs.evaluate:test", _experiment, True, CELLS),
    "predict": Command("write predictions as CSV, from a run's checkpoint or an integer program",
                       "app.runs.evaluate:predict", _predict, True, CELLS),
    "export": Command("write the integer program of a run", "app.deploy.export:export", _export),
    "sensitivity": Command("what each site costs trained runs: alone in codes, and alone in floats",
                           "app.deploy.sensitivity:sensitivity", sensitivity),
    "benchmark": Command("time a run's FP32 PyG forward against its INT8 and INT4 programs",
                         "app.benchmarks.run_latency:benchmark", _benchmark),
    "benchmark training": Command("time the training steps of cells against FP32, interleaved",
                                  "app.benchmarks.training:benchmark_training", _benchmark_training, True, CELLS),
    "benchmark latency": Command("time two-layer networks of width 128 in the engine against PyG and torch",
                                  "app.benchmarks.network_latency:benchmark_latency", _benchmark_latency),
    "benchmark memory": Command("measure the memory of their forwards, each in a fresh process",
                                "app.benchmarks.network_memory:benchmark_memory", _benchmark_memory),
    "reproduce": Command("run what is missing of a table of the paper, in many processes; resumes, shows the table",
                         "app.grids.reproduce:reproduce", reproduce, True, "app.config.grids:check_words"),
    "tune": Command("search the hyper-parameters of a cell on the validation split",
                    "app.grids.tuning:tune", tune, True, CELLS),
    "report": Command("tables of mean and deviation over the seeds of finished runs",
                      "app.reports.report:report", report),
    "demo": Command("train, export and time FP32, QAT and DQ on the embedded data set", "app.demo:demo", _demo),
    "data": Command("what data is there, what is missing and where it belongs; prepare and verify it",
                    "app.data.command:data", data),
    "describe": Command("print networks, parameters and data sets (the paper's Tables 5 to 7)",
                        "app.data.describe:describe", data_sets),
    "list": Command("list the cells", "app.config.cells:list_cells", _none),
}  # fmt: skip


QUESTIONS = {"--help-all": "app.runs.fit:help_all", "--print_config": "app.runs.fit:print_config"}
"""Options of open-ended commands that ask about the configuration instead of using it."""
