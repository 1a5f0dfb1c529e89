"""The table of commands. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field

from app.cli import benchmark_options, options


@dataclass(frozen=True)
class Command:
    """A subcommand. Its functions are named as `module:function` and imported only when they are called.

    Attributes:
        help: one line for the overview.
        target: the function that runs the command and returns its exit code; it takes the parsed options and the
            remaining words.
        options: adds the options of the command to its parser.
        overrides: whether settings of the configuration (`--model.lr 0.1`) may follow; they are the remaining words.
        check: a function like `target` that raises UserError for wrong options; it imports nothing heavy.
        questions: options that print something about the configuration instead of running the command, each with the
            function that does so.
        resumes: whether the same command goes on with the runs that it was training when it was stopped.
    """

    help: str
    target: str
    options: Callable[[argparse.ArgumentParser], None]
    _: KW_ONLY
    overrides: bool = False
    check: str | None = None
    questions: Mapping[str, str] = field(default_factory=dict)
    resumes: bool = False


def cell_command(
    help: str, target: str, options: Callable[[argparse.ArgumentParser], None], *, resumes: bool = False
) -> Command:
    """Returns a command on the cells of --cell and --seed, whose settings may be overridden and asked about."""
    return Command(
        help,
        target,
        options,
        overrides=True,
        check="app.config.cells:check_options",
        questions={"--help-all": "app.runs.fit:help_all", "--print_config": "app.runs.fit:print_config"},
        resumes=resumes,
    )


COMMANDS: dict[str, Command] = {
    "fit": cell_command(
        "train cells, choose on validation, test, export; resumes what was cut short",
        "app.runs.fit:fit", options.fit, resumes=True,
    ),
    "validate": cell_command(
        "evaluate a trained run on the validation split", "app.runs.evaluate:validate", options.evaluation,
    ),
    "test": cell_command(
        "evaluate a trained run on the test split", "app.runs.evaluate:test", options.evaluation,
    ),
    "predict": cell_command(
        "write predictions as CSV, from a run's checkpoint or an integer program",
        "app.runs.predictions.command:predict", options.predict,
    ),
    "export": Command("write the integer program of a run", "app.deploy.export:export", options.export),
    "sensitivity": Command(
        "what each site costs trained runs: alone in codes, and alone in floats",
        "app.deploy.sensitivity:sensitivity", options.sensitivity,
    ),
    "benchmark": Command(
        "time a run's FP32 PyG forward against its INT8 and INT4 programs",
        "app.benchmarks.run_latency:benchmark", benchmark_options.benchmark,
    ),
    "benchmark training": cell_command(
        "time the training steps of cells against FP32, interleaved",
        "app.benchmarks.training:benchmark_training", benchmark_options.benchmark_training,
    ),
    "benchmark latency": Command(
        "time two-layer networks of width 128 in the engine against PyG and torch",
        "app.benchmarks.network_latency:benchmark_latency", benchmark_options.benchmark_latency,
    ),
    "benchmark networks": Command(
        "time networks written for PyG against the programs of what `prepare` makes of them",
        "app.benchmarks.own.latency:benchmark_networks", benchmark_options.benchmark_networks,
    ),
    "benchmark callers": Command(
        "measure the calls a second of one program from one thread and from several",
        "app.benchmarks.callers:benchmark_callers", benchmark_options.benchmark_callers,
    ),
    "benchmark memory": Command(
        "measure the memory of their forwards, each in a fresh process",
        "app.benchmarks.network_memory:benchmark_memory", benchmark_options.benchmark_memory,
    ),
    "benchmark scale": cell_command(
        "measure an epoch of one large graph, whole and in parts, and inference, each cell in a fresh process",
        "app.benchmarks.scale.command:benchmark_scale", benchmark_options.benchmark_scale,
    ),
    "benchmark processors": Command(
        "time the engine's kernels as compiled for other kinds of processor, beside their limits",
        "app.benchmarks.limits.processors:benchmark_processors", benchmark_options.benchmark_processors,
    ),
    "reproduce": Command(
        "run what is missing of a table of the paper, in many processes; resumes, shows the table",
        "app.grids.reproduce:reproduce", options.reproduce,
        overrides=True, check="app.config.grids:check_options", resumes=True,
    ),
    "tune": cell_command(
        "search the hyper-parameters of a cell on the validation split", "app.grids.tuning:tune", options.tune,
    ),
    "report": Command(
        "tables of mean and deviation over the seeds of finished runs", "app.reports.report:report", options.report,
    ),
    "demo": Command("train, export and time FP32, QAT and DQ on the embedded data set", "app.demo:demo", options.demo),
    "data": Command(
        "what data is there, what is missing and where it belongs; prepare and verify it",
        "app.data.command:data", options.data, overrides=True,
    ),
    "describe": Command(
        "print networks, parameters and data sets (the paper's Tables 5 to 7)",
        "app.data.describe:describe", options.describe, overrides=True,
    ),
    "list": Command("list the cells", "app.config.cells:list_cells", options.list_),
}  # fmt: skip
