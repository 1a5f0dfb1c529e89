"""Completes a run, whatever progress it has made before.

    progress   left in the folder   `complete`
    new        no checkpoint        writes the config, loads the initial weights, trains from the first epoch
    begun      last.ckpt            checks the settings, trains on after the last finished epoch
    finished   result.json          checks the settings, returns the result

Training ends in `finished`, or is interrupted and leaves `begun` (before the end of its first epoch: `new`). A run that
failed (`failure.json`) is new or begun; the file goes when the run finishes after all. With `overwrite` every run
becomes new first.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app.config.checkpoints import load_initial_weights
from app.config.lightning_cli import CellCLI
from app.config.settings import differing_settings, first_of
from app.config.trainer_settings import check_optimizer, check_trainer
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.experiment import Experiment
from app.runs.provenance import differing_parts, fingerprint, same, tell_not_compared
from app.runs.result import Result
from app.runs.run_folder import Run
from app.runs.start.weights import (
    check_data_of_weights,
    check_network,
    check_variant,
    checkpoint_in,
    digest_of,
    is_scheme,
    place_of_start,
)
from app.runs.training import train
from callbacks.run_log import logs_ended
from datamodules import FullBatchDataModule
from datamodules.one_graph.base import check_processes

REPLACE = "give another --runs-root, or --overwrite to replace it"
"""What helps where a folder holds another run."""


class OtherSettingsError(UserError):
    """The folder holds a run with other settings, other data or another start."""


def complete(
    experiment: Experiment, run: Run, *, built: CellCLI | None = None, overwrite: bool = False
) -> Result | None:
    """Trains, evaluates and exports what is missing of a run, and returns its result.

    Args:
        built: the experiment, built for the run's folder; None: it is built here.
        overwrite: whether a run that is there begins again.

    Returns:
        The result; None in all processes but the first of those that train together.

    Raises:
        OtherSettingsError: if the folder holds a run with other settings and `overwrite` is not given.
        UserError: if a setting is wrong, or the initial weights are not there.
        TakenError: if another process is training the run that the initial weights come from.
        KeyboardInterrupt: if training was interrupted.
    """
    built = built or experiment.build(run.directory)
    if overwrite or run.progress != "finished":
        check_possible(built)
    config = built.resolved()
    settings = yaml.safe_load(config)
    if overwrite:
        clear(run)
    progress = run.progress
    if progress != "new":
        check_settings(run, settings)
        check_start(experiment, run, settings)
        if built.trainer.is_global_zero:
            check_data(run, built)
    if progress == "finished":
        return run.read_result()
    write_atomically(run.config, config)
    if built.trainer.is_global_zero and (read := fingerprint(built)) is not None:
        write_atomically(run.data, json.dumps(read) + "\n")
    if progress == "new":
        start = initialize(experiment, built, run, settings)
        if start is not None and built.trainer.is_global_zero:
            write_atomically(run.start, json.dumps({"weights": digest_of(start)}) + "\n")
    with logs_ended(built.trainer):
        result = train(experiment, built, run)
    run.failure.unlink(missing_ok=True)
    return result


def clear(run: Run) -> None:
    """Removes everything that training left in the folder: the run is new again."""
    for path in (run.result, run.config, run.data, run.start, run.failure):
        path.unlink(missing_ok=True)
    for folder in (run.directory / "checkpoints", run.program, run.board):
        shutil.rmtree(folder, ignore_errors=True)


def check_possible(built: CellCLI) -> None:
    """Checks, before a run begins, what would keep it from ending in a result.

    Raises:
        ValueError: naming the setting that cannot work.
    """
    check_devices(built)
    check_trainer(built)
    if built.trainer.max_epochs != 0:
        check_optimizer(built)


def check_devices(built: CellCLI) -> None:
    """Raises ValueError if the run cannot use several devices together, before they are started."""
    devices = built.trainer.world_size
    if devices > 1 and built.trainer.max_epochs == 0:
        raise UserError(f"trainer.devices: ranges are calibrated by one process, not by {devices}; use 1")
    if isinstance(built.datamodule, FullBatchDataModule):
        check_processes(built.datamodule, devices)


def check_settings(run: Run, settings: Mapping[str, Any], remedy: str = REPLACE) -> None:
    """Raises OtherSettingsError if the run in the folder was started with other settings."""
    differences = differing_settings(run.read_config(), settings)
    if differences:
        raise OtherSettingsError(f"{run.directory} holds a run with other settings ({first_of(differences)}): {remedy}")


def check_start(experiment: Experiment, run: Run, settings: Mapping[str, Any], remedy: str = REPLACE) -> None:
    """Raises OtherSettingsError if the run that `init_from` names was trained anew since this one began with it.

    Nothing is compared where it is gone.
    """
    if (kept := run.read_start()) is None:
        return
    start = checkpoint_in(place_of_start(experiment, run, settings))
    if start.is_file() and digest_of(start) != kept:
        raise OtherSettingsError(
            f"{run.directory}: its start, init_from {settings['init_from']}, was trained anew since: {remedy}"
        )


def check_data(run: Run, built: CellCLI) -> None:
    """Compares the data of a run that is there with what would be read now; runs of older versions kept nothing.

    Of a finished run whose data is not here, a line on standard error says that it was not compared.

    Raises:
        OtherSettingsError: if the run has read other data.
        DataError, OSError: if the data of an unfinished run cannot be read.
    """
    kept = run.read_fingerprint()
    if kept is None:
        return
    finished = run.progress == "finished"
    if finished and (absent := built.datamodule.missing() or built.datamodule.pending()):
        tell_not_compared(run.directory, f"not here: {absent}")
        return
    try:
        now = fingerprint(built)
    except (ValueError, OSError) as problem:
        if not finished:
            raise
        tell_not_compared(run.directory, problem)
        return
    if now is not None and not same(kept, now):
        raise OtherSettingsError(
            f"{run.directory} holds a run on other data: {now['name']} has other {differing_parts(kept, now)} now; "
            f"{REPLACE}"
        )


def initialize(experiment: Experiment, built: CellCLI, run: Run, settings: Mapping[str, Any]) -> Path | None:
    """Loads the weights that the setting `init_from` names into the model of a new run.

    Returns:
        The checkpoint that they are from; None if the run begins without.

    Raises:
        UserError: if no weights are named where some are needed, or they are missing or of another network.
        TakenError: if another process is training the run that they come from.
    """
    source = settings["init_from"]
    if source is None:
        if built.model.teacher is not None:
            raise UserError("model.distillation: init_from (--init-from) has to name the teacher's run")
        if built.trainer.max_epochs == 0:
            raise UserError(
                "trainer.max_epochs is 0: nothing is trained, so init_from (--init-from) has to name weights"
            )
        return None
    path = place_of_start(experiment, run, settings)
    if is_scheme(experiment, source):
        if "+" in source:
            check_variant(experiment, Run(path), source)
        else:
            train_sibling(experiment, built, run, settings)
        source = str(path)
    load_initial_weights(built.model, checkpoint_in(path), source)
    check_data_of_weights(Run(path if path.is_dir() else path.absolute().parent.parent), built, source)
    return checkpoint_in(path)


def train_sibling(experiment: Experiment, built: CellCLI, run: Run, settings: Mapping[str, Any]) -> None:
    """Trains the run of the same cell and seed in the scheme that `init_from` names, where it is missing.

    Raises:
        UserError: if it is the run itself, of another network, or cannot be trained on the way.
        TakenError: if another process is training it.
    """
    source = settings["init_from"]
    sibling = experiment.sibling(source, settings)
    other = sibling.run_in(run.root(experiment.name))
    if other == run:
        raise UserError(f"init_from: {source} is the scheme of {sibling.name} itself; name another, or a run")
    if other.progress != "finished":
        if built.trainer.world_size > 1:
            raise UserError(f"init_from: train {sibling.name} first; several processes cannot do so on the way")
        with other.exclusive():
            complete(sibling, other)
    else:
        check_network(sibling, other, source)
