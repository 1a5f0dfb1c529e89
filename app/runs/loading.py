"""Loads trained runs from their folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import NamedTuple

from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

import datamodules
from app.cli.options import RUNS_ROOT
from app.cli.words import as_words, words_of
from app.config.checkpoints import TRAIN_AGAIN, load_weights, read_checkpoint
from app.config.layers import find, layers_of
from app.config.lightning_cli import CellCLI, as_list
from app.config.settings import comparable
from app.config.stated import contradictions, stated
from app.config.trainer_settings import TRAINER_OF_TRAINING, check_use
from app.errors import UserError
from app.runs.experiment import experiments, single
from app.runs.provenance import differing_parts, fingerprint, same
from app.runs.run_folder import Run

NEW = "new"
"""The split (--split) of data that a run was not trained on."""

KNOWN = "known"
"""The argument of datamodules that can read such data: the `data.json` of the run."""

READ_AS_TRAINED = ("data.features", "data.standardize")
"""Settings of how features are made, which for other data are those of the training."""

SPLITTING = tuple(
    f"data.{name}"
    for name in (
        *("split", "split_file", "val_size", "test_size", "val_share", "test_share", "folds", "num_folds", "fold"),
        *("inductive", "parts", "parts_per_step", "neighbours", "nodes_per_step"),
    )
)
"""Settings of how data is split and trained on, which other data is not."""

TRAINER = {"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto", "logger": False, "callbacks": None}
"""Settings with which a trained run is built: wherever it was trained, one process of this machine can use it."""


MAY_CHANGE = ("data", "trainer")
"""Sections of the settings in which the use of a trained run may differ from its training, but for `OF_TRAINING`."""

OF_TRAINING = tuple(f"trainer.{name}" for name in ("max_epochs", *TRAINER_OF_TRAINING))
"""Settings of the trainer that nothing but training reads."""


EVALUATIONS, ANYWHERE = ("validation", "test", "predict"), ("setup", "teardown", "on_exception")
"""What the methods of a callback are called, or parts of it, that Lightning calls in an evaluation."""


class TrainedRun(NamedTuple):
    """A trained run with its best weights, and what it is called."""

    name: str
    seed: int
    built: CellCLI


def trained_runs(options: argparse.Namespace, overrides: Sequence[str]) -> Iterator[TrainedRun]:
    """Yields the runs that --run, or --cell, --config and --seed name, built as their own configs say plus overrides.

    Raises:
        UserError: if they name nothing, a folder without a trained run, or a run that was trained on other data.
    """
    words = words_of(options, overrides)
    for name, seed, run in named_runs(options, overrides):
        check_unchanged(run, words)
        new = words_for_new_data(run, words) if getattr(options, "split", None) == NEW else []
        built = load_run(run, *words, *new)
        check_batches(built)
        check_logs(built)
        check_callbacks(built)
        yield TrainedRun(name, seed, built)


def check_batches(built: CellCLI) -> None:
    """Raises UserError if a word of the command line leaves nothing to evaluate, or some of what is predicted."""
    for name in ("limit_val_batches", "limit_test_batches"):
        if any(find(layer.settings, ("trainer", name)) == 0 for layer in built.words):
            raise UserError(f"trainer.{name}: 0 leaves nothing to evaluate; leave it out")
    if any(find(layer.settings, ("trainer", "limit_predict_batches")) is not None for layer in built.words):
        raise UserError(
            "trainer.limit_predict_batches: has no effect, `predict` writes all rows of --split; leave it out"
        )
    check_use(built)


def check_logs(built: CellCLI) -> None:
    """Raises UserError if a log is asked for, which `TRAINER` has not: those in a run's folder are of its training."""
    if built.config["trainer"]["logger"] is not False:
        raise UserError("trainer.logger: the logs in a run's folder are of its training, none is added; leave it out")


def acts_in_evaluation(callback: Callback) -> bool:
    """Whether a callback has a method that Lightning calls where nothing is trained, and does something there."""
    if isinstance(callback, EarlyStopping | ModelCheckpoint) or type(callback).__module__.startswith("callbacks."):
        return False
    hooks = (name for name in dir(Callback) if name in ANYWHERE or any(part in name for part in EVALUATIONS))
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in hooks)


def check_callbacks(built: CellCLI) -> None:
    """Raises UserError for a callback of a word of the command line that acts only in training."""
    ours = [id(callback) for callback in built.trainer_defaults["callbacks"]]
    for callback in as_list(built.config_init["trainer"]["callbacks"]):
        if id(callback) not in ours and not acts_in_evaluation(callback):
            name = type(callback).__name__
            raise UserError(
                f"trainer.callbacks: {name} has no effect: it acts in training, and here is none; leave it out"
            )


def one_trained(options: argparse.Namespace, overrides: Sequence[str]) -> TrainedRun:
    """Returns the one run that is named.

    Raises:
        UserError: if several are; see also `trained_runs`.
    """
    if not options.run:
        single(options, overrides)
    (found,) = trained_runs(options, overrides)
    return found


def one_rebuilt(options: argparse.Namespace, overrides: Sequence[str]) -> CellCLI:
    """Returns the one run that --run names, built without its weights.

    Raises:
        UserError: if several are named; see also `rebuild`.
    """
    folders = [options.run] if isinstance(options.run, str) else options.run
    if len(folders) != 1:
        raise UserError(f"expected one --run here, got {len(folders)}")
    run, words = Run(Path(folders[0])), words_of(options, overrides)
    check_trained(run)
    check_unchanged(run, words)
    return rebuild(run, *words)


def words_for_new_data(run: Run, words: Sequence[str]) -> list[str]:
    """Returns the words by which a run reads other data than that of its training as it read that.

    Args:
        words: of the command line.

    Raises:
        UserError: if its datamodule cannot, or the words name no data, would read features in another way, or would
            split the data.
    """
    settings = run.read_config()["data"]
    kind = getattr(datamodules, settings["class_path"].rpartition(".")[2], object)
    if not takes(kind, KNOWN):
        raise UserError(
            f"--split new: {settings.get('class_path')} reads no other data for a trained network; "
            "--split all gives all rows of its own, also those without a label"
        )
    if not any(find(layer.settings, ("data",)) for layer in layers_of(words)):
        raise UserError(
            "--split new: no setting names the new data; give --data.name, --data.root or others in which it differs "
            "from that of the training (of a PyG data set --data.dataset.name)"
        )
    for line in contradictions(stated(words), comparable(run.read_config())):
        setting = line.partition(" ")[0]
        if setting in READ_AS_TRAINED:
            raise UserError(f"{line}: --split new reads features as in training; leave it out")
        if setting in SPLITTING:
            raise UserError(f"{setting}: has no effect beside --split new, whose rows are in no part; leave it out")
    return [f"--data.{KNOWN}={run.data}"]


def takes(kind: type, name: str) -> bool:
    """Whether a class takes an argument, itself or by passing further ones on to its base."""
    parameters = signature(kind).parameters
    passes_on = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (passes_on and kind is not object and takes(kind.__mro__[1], name))


def named_runs(options: argparse.Namespace, overrides: Sequence[str]) -> Iterator[tuple[str, int, Run]]:
    """Yields name, seed and folder of the runs that the options name."""
    if options.run:
        for folder in [options.run] if isinstance(options.run, str) else options.run:
            run = Run(Path(folder))
            check_trained(run)
            name = run.read_result()["cell"] if run.progress == "finished" else folder
            yield name, int(run.read_config()["seed_everything"]), run
        return
    for experiment in experiments(options, overrides):
        yield experiment.name, experiment.seed, experiment.run_in(Path(options.runs_root or RUNS_ROOT))


def check_unchanged(run: Run, words: Sequence[str]) -> None:
    """Raises UserError if words of the command line change what was trained: all but its data and what evaluates."""
    if not run.config.is_file():
        return  # which is told where it is loaded
    found = contradictions(stated(words), comparable(run.read_config()))
    kept = (line for line in found if line.partition(".")[0] not in MAY_CHANGE or line.partition(" ")[0] in OF_TRAINING)
    if changed := next(kept, None):
        raise UserError(
            f"{run.directory}: {changed}: what was trained cannot be changed here; give settings of data and trainer"
        )


def check_data(run: Run, built: CellCLI) -> None:
    """Raises UserError if the data that a run is built for is not what it was trained on: scaled and split otherwise.

    Data that is read as new data is another one on purpose. Runs of older versions kept nothing to compare with.
    """
    if built.datamodule.known is not None:
        return
    kept = run.read_fingerprint()
    now = fingerprint(built) if kept is not None else None
    if kept is not None and now is not None and not same(kept, now):
        raise UserError(
            f"{run.directory}: was trained on other data: {now['name']} has other {differing_parts(kept, now)} now; "
            "give the data and its settings as in training"
        )


def load_run(run: Run | Path | str, *overrides: str) -> CellCLI:
    """Builds a trained run, or that in a folder, with its best weights and its model in evaluation mode.

    Its data is compared with that of its training, unless it is to be read as new data (see `words_for_new_data`). Of
    a run that is not finished a line on standard error says so.

    Raises:
        UserError: if the folder holds no trained run, or a damaged one, if the overrides make another model, or if the
            data is not what the run was trained on.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    built = rebuild(run, *overrides)
    load_weights(built.model, run.best_checkpoint)
    check_data(run, built)
    if built.trainer.is_global_zero:
        tell_unfinished(run)
    built.model.eval()
    return built


def tell_unfinished(run: Run) -> None:
    """Says on standard error how far the training of a run is that has no result yet."""
    if run.progress == "finished":
        return
    latest = run.last_checkpoint if run.last_checkpoint.is_file() else run.best_checkpoint
    done, epochs = read_checkpoint(latest).get("epoch", 0) + 1, run.read_config()["trainer"].get("max_epochs")
    of = f" of {epochs}" if isinstance(epochs, int) and epochs > 0 else ""
    print(f"{run.directory}: training is not finished: epoch {done}{of}; the same `fit` continues it", file=sys.stderr)


def rebuild(run: Run, *overrides: str) -> CellCLI:
    """Builds a trained run from its configuration and `overrides`, without loading weights.

    Raises:
        UserError: if the folder holds no trained run, or a damaged one.
    """
    check_trained(run)
    run.read_config()  # whether it is one
    words = as_words({f"trainer.{name}": value for name, value in TRAINER.items()})
    return CellCLI(["--config", str(run.config), *words, *overrides], run.directory)


def check_trained(run: Run) -> None:
    """Raises UserError, with a hint, if a folder is not that of a trained run."""
    if is_trained(run):
        return
    if run.config.is_file() and run.progress == "finished":
        raise UserError(f"{run.best_checkpoint}: no such checkpoint, though the run is finished; {TRAIN_AGAIN}")
    near = nearest_trained(run.directory)
    hint = f"did you mean {near.directory}?" if near else "train it with `train.py fit`"
    raise UserError(f"{run.directory}: no trained run here; {hint}")


def is_trained(run: Run) -> bool:
    """Whether a folder is that of a trained run."""
    return run.config.is_file() and run.best_checkpoint.is_file()


def nearest_trained(folder: Path) -> Run | None:
    """Returns the first trained run in a folder of runs (of a cell, a data set, or all), or around a folder."""
    levels = (folder.glob("*/" * depth + "seed=*") for depth in range(4))
    inside = (Run(path) for level in levels for path in sorted(level))
    around = (Run(path) for path in folder.parents[:2])
    return next((run for runs in (inside, around) for run in runs if is_trained(run)), None)
