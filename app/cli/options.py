"""Options of commands that work on tables of runs or on data, and what options share. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(minimum: int) -> Callable[[str], int]:
    """A type of option: whole numbers from `minimum` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} on, got {text!r}")
        return int(text)

    return number


RUNS_ROOT = "runs"
"""The folder of all runs where nothing is said."""


def place(parser: argparse.ArgumentParser) -> None:
    """Where the runs are."""
    parser.add_argument(
        "--runs-root", default=RUNS_ROOT, metavar="DIR", help=f"folder of all runs (default: {RUNS_ROOT})"
    )


def report(parser: argparse.ArgumentParser) -> None:
    """Of `report`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="tables to fill (default: one of all runs); see `list`"
    )
    place(parser)
    parser.add_argument(
        "--format", choices=("table", "markdown", "csv", "html"), default="table", help="default: table"
    )
    parser.add_argument("--output", metavar="FILE", help="write there instead of to the screen")
    parser.add_argument("--summary", metavar="FILE.jsonl", help="also keep the results themselves, one JSON line a run")
    parser.add_argument(
        "--from", dest="source", metavar="FILE.jsonl", help="from such a file; --runs-root beside it adds its runs"
    )
    parser.add_argument(
        "--document", metavar="FILE.md", help="write the tables into this file, between `<!-- report NAME -->` and end"
    )
    parser.set_defaults(runs_root=None)
    parser.add_argument("--plots", metavar="DIR", help="also the plots of the HTML page, each as an SVG file")
    parser.add_argument(
        "--latency", metavar="FILE.json", help="also the figures of `benchmark latency --output`; in HTML with bars"
    )


def sensitivity(parser: argparse.ArgumentParser) -> None:
    """Of `sensitivity`."""
    parser.add_argument("--run", metavar="DIR", nargs="+", required=True, help="folders of trained runs of one cell")
    parser.add_argument("--format", choices=("table", "markdown", "csv"), default="table", help="default: table")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to the screen")


def reproduce(parser: argparse.ArgumentParser) -> None:
    """Of `reproduce`."""
    parser.add_argument("name", metavar="NAME", help="a table (see `list`), or a YAML file of your own")
    place(parser)
    for kind in ("datasets", "architectures", "schemes"):
        parser.add_argument(f"--{kind}", metavar="A,B", help=f"only these {kind}; globs in quotes")
    parser.add_argument("--seeds", metavar="K", help="these seeds instead of the table's: 3 or 0,4 or 0-9")
    parser.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads of each (default: 1)")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only every N-th run from the I-th on")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and what is finished")
    parser.add_argument("--retry-failed", action="store_true", help="begin failed runs again")


def tune(parser: argparse.ArgumentParser) -> None:
    """Of `tune`."""
    parser.set_defaults(config=[], runs_root=".")
    parser.add_argument(
        "--cell", action="append", required=True, metavar="DATASET/ARCHITECTURE/SCHEME", help="what to tune: one cell"
    )
    parser.add_argument("--seed", default="0-2", metavar="K", help="a trial's value is their mean (default: 0-2)")
    parser.add_argument("--trials", type=at_least(1), default=50, metavar="N", help="of the study (default: 50)")
    parser.add_argument(
        "--storage", required=True, metavar="FILE|URL", help="journal file or database; share it to work in parallel"
    )
    parser.add_argument("--output", required=True, metavar="FILE.yaml", help="the best settings, an entry for a table")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads (default: 1)")


def data(parser: argparse.ArgumentParser) -> None:
    """Of `data`."""
    actions = ("status", "prepare", "verify")
    told = "status: what is there; prepare: download and build; verify: check and count"
    parser.add_argument("action", choices=actions, help=told)
    data_sets(parser)


def data_sets(parser: argparse.ArgumentParser) -> None:
    """Which data sets, and where they are."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets, such as mnist (default: all)")
    parser.add_argument(
        "--data-root", metavar="DIR", help="folder of all raw data (default: $DEGREE_QUANT_DATA or data)"
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="folder of built graphs (default: $DEGREE_QUANT_CACHE, or the user's cache)"
    )
