"""`predict`: writes what a trained run, or an integer program, says of the rows of its data."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.console import standard_output
from app.cli.output import output_file
from app.cli.words import parse, words_of
from app.config.lightning_cli import CellCLI
from app.engine import load_program
from app.engine.files import write_atomically
from app.engine.program.io import MANIFEST, program_files
from app.errors import UserError
from app.runs.experiment import single
from app.runs.loading import NEW, check_data, check_unchanged, nearest_trained, one_trained, rebuild, words_for_new_data
from app.runs.predictions.rows import Predictions, by_checkpoint, by_program
from app.runs.predictions.table import as_csv
from app.runs.run_folder import Run


def predict(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: writes a CSV with a row per node or graph; see `as_csv` for its columns."""
    output = output_file(options.output)
    if options.program and output.exists() and any(map(output.samefile, program_files(options.program))):
        raise UserError(f"--output {output}: is a file of --program {options.program}, give another file")
    found = _of_program(options, overrides) if options.program else _of_checkpoint(options, overrides)
    write_atomically(output, as_csv(found))
    standard_output().print(f"{len(found.outputs)} predictions in {output}", highlight=False, soft_wrap=True)
    return 0


def _of_program(options: argparse.Namespace, overrides: list[str]) -> Predictions:
    program = load_program(find_program(Path(options.program)))
    data = _built_for_its_data(options, overrides).datamodule
    data.prepare_data()
    data.setup("predict")
    return by_program(program, data, options.split, f"--program {options.program}")


def _built_for_its_data(options: argparse.Namespace, overrides: list[str]) -> CellCLI:
    if unread := next((word.key for word in parse(overrides) if word.section == "trainer"), None):
        raise UserError(f"{unread}: has no effect beside --program, which the engine runs; leave it out")
    if options.run:
        run, words = Run(Path(options.run)), words_of(options, overrides)
        check_unchanged(run, words)
        new = words_for_new_data(run, words) if options.split == NEW else []
        built = rebuild(run, *words, *new)
        check_data(run, built)
        return built
    if options.split == NEW:
        raise UserError("--split new: give --run too, the run that the program is of: it says how data is read")
    return single(options, overrides).build(Path("."))


def _of_checkpoint(options: argparse.Namespace, overrides: list[str]) -> Predictions:
    built = one_trained(options, overrides).built
    if built.trainer.world_size > 1:
        raise UserError(f"trainer.devices: predictions are written by one process, not by {built.trainer.world_size}")
    return by_checkpoint(built, options.split)


def find_program(path: Path) -> Path:
    """Returns the path of a program, after a look whether there is one.

    Raises:
        UserError: if there is nothing, or a folder that is none of a program.
    """
    if not path.exists() or (path.is_dir() and not (path / MANIFEST).exists()):
        near = [run.program for run in (Run(path), nearest_trained(path)) if run and (run.program / MANIFEST).exists()]
        hint = f"did you mean {near[0]}?" if near else "`train.py export` writes one"
        raise UserError(f"--program {path}: no program here (no {MANIFEST}); {hint}")
    return path
