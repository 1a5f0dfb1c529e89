"""`export`: writes the integer program of a trained run and compares it with the trained model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Column, Table

from app.cli.console import standard_output
from app.deploy.preparation import prepared, steps_of
from app.engine import load_program
from app.engine.program.io import read_program, save_program
from app.errors import UserError
from app.runs.exactness import DIFFERENCES, compare, compare_with_float64
from app.runs.loading import load_run
from app.runs.provenance import versions
from app.runs.run_folder import Run
from callbacks.export_int8 import card_of, export_program


def export(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: writes the program, prints its size and how exactly it computes what was trained.

    Raises:
        UserError: if the run is in FP32, or --output names a file.
    """
    run = Run(Path(options.run))
    built = load_run(run)
    if not built.model.scheme.quantizes:
        raise UserError(f"--run {run.directory}: its scheme is FP32; only quantized runs have an integer program")
    elsewhere = options.output and Path(options.output).resolve() != run.program.resolve()
    directory = Path(options.output) if elsewhere else run.program
    if directory.is_file():
        raise UserError(f"--output {directory}: is a file; a program is a folder")
    if options.with_preprocessing and not elsewhere:
        raise UserError("--with-preprocessing: give --output; the program in a run reads what its data set prepares")
    built.datamodule.prepare_data()
    built.datamodule.setup("predict")
    steps = steps_of(built.datamodule) if options.with_preprocessing else []
    card = card_of(built.datamodule) | {"versions": versions()}
    if run.progress == "finished":
        card["metrics"] = run.read_result()["metrics"]
    if options.licence:
        card["licence"] = options.licence
    console = standard_output()
    with TemporaryDirectory() as folder:  # what was there is replaced once, by what was compared
        plain = export_program(built.model, run.best_checkpoint, Path(folder), card=card)
        if options.float64:
            console.print(difference_table(compare_with_float64(built.model, built.datamodule, plain)))
        exactness = compare(built.model, built.datamodule, plain)
        program = read_program(plain)
    save_program(prepared(program, steps) if steps else program, directory)
    if not elsewhere:
        note_program(run, exactness)
    console.print(
        f"{directory}: {load_program(directory).num_bytes:,} bytes of constants", highlight=False, soft_wrap=True
    )
    console.print(json.dumps(exactness), highlight=False, soft_wrap=True)
    return 0


def note_program(run: Run, exactness: dict[str, int]) -> None:
    """Writes into the result of a run that was not exported when it was trained that it has a program now."""
    if run.progress == "finished" and not (result := run.read_result())["exactness"]:
        with run.exclusive():
            run.write_result({**result, "exactness": exactness, "no_program": None})


def difference_table(pairs: Mapping[str, Mapping[str, int]]) -> Table:
    """What differs between program, trained model and trained model in float64: a row for each pair of these."""
    table = Table(Column(no_wrap=True), *(name.replace("_", " ") for name in DIFFERENCES))
    for pair, counts in pairs.items():
        table.add_row(pair, *(f"{counts[name]:,}" for name in DIFFERENCES))
    return table
