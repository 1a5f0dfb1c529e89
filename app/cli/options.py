"""Options of all commands. Imports nothing heavy.

A function named after a command adds the options of that command to its parser; a function `add_...` adds options that
several commands share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import Any

RUNS_ROOT = "runs"
"""Default folder of all runs."""


MOST_THREADS = 1024
"""More than processors have; with 100,000 the process ends in the system's want of memory, or in a crash."""


def at_least(minimum: int, most: int | None = None) -> Callable[[str], int]:
    """Returns an option type that accepts whole numbers from `minimum` on, up to `most`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum or (most is not None and int(text) > most):
            end = "on" if most is None else f"to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} {end}, got {text!r}")
        return int(text)

    return number


count_of_threads = at_least(1, MOST_THREADS)


def share(text: str) -> float:
    """Reads a whole number, or a share of one: 0, 0.25, 1, 2."""
    with suppress(ValueError):
        number = float(text)
        if 0 <= number <= 1 or (number > 1 and number.is_integer()):
            return number
    raise argparse.ArgumentTypeError(f"expected a whole number or a share of one, such as 0.25, got {text!r}")


def add_runs_root(parser: argparse.ArgumentParser) -> None:
    """Adds --runs-root."""
    parser.add_argument(
        "--runs-root", default=RUNS_ROOT, metavar="DIR", help=f"folder of all runs (default: {RUNS_ROOT})"
    )


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    """Adds --config-dir."""
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIR",
        help="your own configs beside ours (dataset/FAMILY/, architecture/FAMILY/, scheme/, tables/)",
    )  # fmt: skip


def add_config(parser: argparse.ArgumentParser, told: str) -> None:
    """Adds --config; `told` is its help."""
    parser.add_argument("--config", file="read", action="append", default=[], metavar="FILE", help=told)


def add_experiments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name runs: --cell, --seed, --config and --runs-root."""
    parser.add_argument(
        "--cell", action="append", default=[], metavar="DATASET/ARCHITECTURE/SCHEME",
        help="what to run, e.g. cora/gcn/dq_int8; globs in quotes ('cora/*/dq_*'); see `list`",
    )  # fmt: skip
    parser.add_argument(
        "--seed", action="join", default="0", metavar="K", help="seed, list or range: 3 or 0,4 or 0-9 (default: 0)"
    )
    add_config(parser, "YAML on top of (or instead of) the cell")
    add_config_dir(parser)
    add_runs_root(parser)


def add_trained_runs(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Adds the options that name trained runs: those of `add_experiments`, or --run instead."""
    add_experiments(parser)
    told = "folders of trained runs" if several else "folder of a trained run"
    number: dict[str, Any] = {"nargs": "+", "action": "extend"} if several else {}
    parser.add_argument("--run", metavar="DIR", help=f"{told}, instead of --cell; also of a table's variants", **number)
    parser.set_defaults(seed=None, runs_root=None)


def evaluation(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `validate` and `test`."""
    add_trained_runs(parser, several=True)


def add_trained_run(parser: argparse.ArgumentParser) -> None:
    """Adds --run, the folder of one trained run."""
    parser.add_argument("--run", metavar="DIR", required=True, help="folder of a trained run")


def add_json_output(parser: argparse.ArgumentParser) -> None:
    """Adds --output, a JSON file."""
    parser.add_argument("--output", file="written", metavar="FILE.json", help="also write the figures as JSON")


def add_data_sets(parser: argparse.ArgumentParser) -> None:
    """Adds names of data sets, --data-root and --cache."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets, such as mnist (default: all)")
    parser.add_argument(
        "--data-root", metavar="DIR", help="folder of all raw data (default: $DEGREE_QUANT_DATA or data)"
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="folder of built graphs (default: $DEGREE_QUANT_CACHE, or the user's cache)"
    )


def add_runner(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where runs are trained: in processes of this machine, or on a cluster."""
    here: dict[str, Any] = {"default": 1, "metavar": "N", "instead_of": "--ray"}
    parser.add_argument("--jobs", type=at_least(1), help="processes (default: 1)", **here)
    parser.add_argument("--threads", type=count_of_threads, help="CPU threads of each (default: 1)", **here)
    told = "on this cluster of Ray instead of this machine; auto: the one it is a node of"
    parser.add_argument("--ray", metavar="auto|ADDRESS", help=told)
    there: dict[str, Any] = {"metavar": "N", "only_with": "--ray"}
    parser.add_argument(
        "--cpus-per-run",
        type=count_of_threads,
        default=1,
        help="processors and threads of a run there (default: 1)",
        **there,
    )
    parser.add_argument("--gpus-per-run", type=share, default=0.0, help="GPUs of a run, or a share of one (0)", **there)


def list_(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `list`."""
    add_config_dir(parser)


def fit(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `fit`."""
    add_experiments(parser)
    parser.add_argument("--overwrite", action="store_true", help="begin again what is there, finished or not")
    parser.add_argument(
        "--threads",
        type=count_of_threads,
        default=1,
        metavar="N",
        help="CPU threads (default: 1; graphs of this size gain more from runs side by side)",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help="weights to start from: a run, a checkpoint, or a scheme (this cell and seed in it)",
    )


def predict(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `predict`."""
    add_trained_runs(parser, several=False)
    parser.add_argument(
        "--program", file="read", metavar="PATH", help="run this integer program instead of the run's own checkpoint"
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test", "all", "new"), default="all",
        help="which nodes or graphs (default: all, also those in no split); new: of other data, as --data settings say",
    )  # fmt: skip
    parser.add_argument("--output", file="written", metavar="FILE.csv", required=True, help="where the predictions go")


def export(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `export`."""
    add_trained_run(parser)
    parser.add_argument(
        "--output", file="written", metavar="PATH", help="where the program goes (default: program/ in the run)"
    )
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="the program reads raw features, and does first what was done to them for training; needs --output",
    )
    parser.add_argument("--licence", metavar="TEXT", help="stands in the manifest, for those who get the program")
    parser.add_argument(
        "--float64", action="store_true", help="also compare both with the trained model computing in float64 (slow)"
    )


def sensitivity(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `sensitivity`."""
    parser.add_argument(
        "--run", action="extend", metavar="DIR", nargs="+", required=True, help="folders of trained runs of one cell"
    )
    parser.add_argument("--format", choices=("table", "markdown", "csv"), default="table", help="default: table")
    parser.add_argument("--output", file="written", metavar="FILE", help="write there instead of to the screen")


def reproduce(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `reproduce`."""
    parser.add_argument("name", metavar="NAME", help="a table (see `list`), or a YAML file of your own")
    add_config_dir(parser)
    add_runs_root(parser)
    for kind in ("datasets", "architectures", "schemes"):
        parser.add_argument(f"--{kind}", action="join", metavar="A,B", help=f"only these {kind}; globs in quotes")
    parser.add_argument(
        "--seeds", action="join", metavar="K", help="these seeds instead of the table's: 3 or 0,4 or 0-9"
    )
    add_runner(parser)
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only every N-th run from the I-th on")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and what is finished")
    parser.add_argument("--retry-failed", action="store_true", help="begin failed runs again")


def tune(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tune`."""
    parser.set_defaults(config=[], runs_root=".")
    parser.add_argument("--cell", nargs=1, required=True, metavar="DATASET/ARCHITECTURE/SCHEME", help="what to tune")
    add_config_dir(parser)
    parser.add_argument(
        "--space",
        file="read",
        metavar="FILE.yaml",
        help="what to search instead of the usual: settings with {low, high, log} or values",
    )
    parser.add_argument(
        "--seed", action="join", default="0-2", metavar="K", help="a trial's value is their mean (default: 0-2)"
    )
    parser.add_argument("--trials", type=at_least(1), default=50, metavar="N", help="of the study (default: 50)")
    parser.add_argument(
        "--storage",
        file="written",
        required=True,
        metavar="FILE|URL",
        help="journal file or database; share it to work in parallel",
    )
    parser.add_argument(
        "--output", file="written", required=True, metavar="FILE.yaml", help="the best settings, an entry for a table"
    )
    add_runner(parser)


def report(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `report`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="tables to fill (default: one of all runs); see `list`"
    )
    parser.add_argument("--run", metavar="DIR", help="one finished run instead: its curves, ranges, errors, latency")
    add_config_dir(parser)
    add_runs_root(parser)
    parser.add_argument(
        "--format", choices=("table", "markdown", "html", "csv"), default="table",
        help="to read: table (default), markdown, html; csv: one table with a row a run, its settings and metrics",
    )  # fmt: skip
    parser.add_argument("--output", file="written", metavar="FILE", help="write there instead of to the screen")
    parser.add_argument(
        "--summary", file="written", replaces="--from", metavar="FILE.jsonl",
        help="also keep the results themselves, one JSON line a run",
    )  # fmt: skip
    parser.add_argument(
        "--from",
        file="read",
        dest="source",
        metavar="FILE.jsonl",
        help="from such a file; --runs-root beside it adds its runs",
    )
    parser.add_argument(
        "--document", file="written", action="extend", metavar="FILE.md", nargs="+",
        help="write the tables into these files, between `<!-- report NAME -->` and `<!-- end -->`",
    )  # fmt: skip
    parser.set_defaults(runs_root=None)
    parser.add_argument("--plots", metavar="DIR", help="also the plots of the HTML page, each as an SVG file")
    parser.add_argument(
        "--latency",
        file="read",
        metavar="FILE.json",
        help="also the figures of `benchmark latency --output`; in HTML with bars",
    )


def demo(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `demo`."""
    add_runs_root(parser)
    parser.add_argument("--overwrite", action="store_true", help="begin again what is there, finished or not")


def data(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `data`."""
    actions = ("status", "prepare", "verify")
    told = "status: what is there; prepare: download and build; verify: check and count"
    parser.add_argument("action", choices=actions, help=told)
    add_data_sets(parser)
    add_config(parser, "YAML on top of the data set, as of `fit`")
    add_config_dir(parser)


def describe(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `describe`."""
    add_data_sets(parser)
    add_config(parser, "YAML on top of the data set and network, as of `fit`")
    add_config_dir(parser)
