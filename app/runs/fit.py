"""Runs `fit`: trains the experiments that the options name."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import torch

from app.cli.console import standard_output
from app.cli.options import RUNS_ROOT
from app.config.lightning_cli import CellCLI
from app.runs.completion import complete
from app.runs.experiment import experiments, single
from app.runs.loading import one_rebuilt
from app.runs.result import Result, chosen_epoch
from app.runs.run_folder import Run


def fit(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: trains, tests and exports every run that is not finished."""
    torch.set_num_threads(options.threads)
    console = standard_output()
    for experiment in experiments(options, overrides):
        run = experiment.run_in(Path(options.runs_root))
        built = experiment.build(run.directory)
        with run.exclusive() if built.trainer.is_global_zero else nullcontext():  # all ranks train one run
            result = complete(experiment, run, built=built, overwrite=options.overwrite)
        if result is not None:
            console.print(summary(run, result), soft_wrap=True, highlight=False)
    return 0


def print_config(options: argparse.Namespace, overrides: list[str]) -> int:
    """Answers `--print_config`: prints the resolved configuration as YAML."""
    if getattr(options, "run", None):
        built = one_rebuilt(options, overrides)
    else:
        built = single(options, overrides).build(Path(options.runs_root or RUNS_ROOT))
    print(built.resolved(), end="")
    return 0


def help_all(options: argparse.Namespace, overrides: list[str]) -> int:
    """Answers `--help-all`: prints every setting."""
    CellCLI(["--help"], Path(options.runs_root or RUNS_ROOT))
    return 0


def summary(run: Run, result: Result) -> str:
    """Returns one line about a finished run."""
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items() if "loss" not in name)
    without = f"; no integer program: {reason}" if (reason := result.get("no_program")) else ""
    epoch = f"epoch {chosen_epoch(result)} of {result['epochs']}; " if result.get("epochs") else ""
    return f"{result['cell']} seed {result['seed']}: {metrics}  ({epoch}{run.directory}{without})"
