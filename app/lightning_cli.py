"""LightningCLI as this application uses it: cells as configs, one-line errors, atomic checkpoints."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import callbacks
import datamodules
import models.architectures
from app.cli import UserError
from app.messages import one_line
from callbacks.divergence import Divergence
from datamodules import GraphDataModule
from models.quantization.qconfig import NoiseConfig, ObserverConfig, ProtectionConfig, QuantScheme
from models.tasks import GraphClassification, GraphRegression, GraphTask, NodeClassification

QUIET = (
    "does not have many workers",
    "Sparse CSR tensor support is in beta",
    "Sparse invariant checks are implicitly disabled",
    "Checkpoint directory .* exists and is not empty",
    "Starting from v1.9.0, `tensorboardX` has been removed",
    "isinstance.treespec, LeafSpec.",
    "LightningCLI's args parameter is intended",
    "num_workers",
    "You are using `torch.load`",
    "The number of training batches",
)
"""Warnings of libraries that tell our users nothing they could act on."""


def prepare_process() -> None:
    """What every command does first."""
    quieten()
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Lets glibc reuse freed buffers instead of returning them: fresh pages cost as much as the work on them.

    mallopt's M_MMAP_THRESHOLD (-3) and M_TRIM_THRESHOLD (-1); other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, 1 << 30)


def quieten() -> None:
    """Keeps the libraries' start-up chatter off the screen; real warnings stay."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


CLASSES: dict[str, dict[str, type]] = {
    "model": {f"models.tasks.{k.__name__}": k for k in (NodeClassification, GraphClassification, GraphRegression)},
    "model.architecture": {
        f"models.architectures.{k.__name__}": k for k in models.architectures.ARCHITECTURES.values()
    },
    "data": {f"datamodules.{k.__name__}": k for k in datamodules.DATAMODULES},
    "trainer.callbacks": {f"callbacks.{name}": getattr(callbacks, name) for name in callbacks.__all__},
}
"""The classes of this project that may stand at a setting, for suggestions in messages."""

SETTINGS: dict[str, tuple[type, ...]] = {
    **{key: tuple(classes.values()) for key, classes in CLASSES.items() if key != "trainer.callbacks"},
    "model.scheme": (QuantScheme,),
    "model.scheme.observer": (ObserverConfig,),
    "model.scheme.noise": (NoiseConfig,),
    "model.scheme.protection": (ProtectionConfig,),
    "trainer": (pl.Trainer,),
}
"""Whose arguments are the settings below a setting, for suggestions in messages."""


def settings_of(kind: type) -> set[str]:
    """Names of the arguments of a class and of the classes it passes them on to."""
    own = [signature(base).parameters for base in kind.__mro__ if "__init__" in vars(base)]
    return {name for parameters in own for name in parameters} - {"args", "kwargs"}


def explain(message: str) -> str:
    """One line of a message about the configuration, with suggestions."""
    names = {f"{key}.{name}" for key, kinds in SETTINGS.items() for kind in kinds for name in settings_of(kind)}
    return one_line(message, sorted(names), {key: list(classes) for key, classes in CLASSES.items()})


@contextmanager
def complaints_in_one_line() -> Iterator[None]:
    """What Lightning finds wrong with settings only while it trains, such as a metric that nobody logs.

    Raises:
        UserError: instead of its exceptions; that of an early stopping is a bare RuntimeError.
    """
    try:
        yield
    except (MisconfigurationException, RuntimeError) as problem:
        if type(problem) is RuntimeError and not str(problem).startswith("Early stopping conditioned on metric"):
            raise
        raise UserError(f"trainer: {problem}") from problem


class RaisingParser(LightningArgumentParser):
    """Raises UserError instead of printing pages of usage; `explain` makes one line of it at the top."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """See the class."""
        raise UserError(message) from ex


REMEDY = "give another one, or train again with `train.py fit --overwrite`"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        UserError: if it is missing, damaged or something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except (RuntimeError, UnpicklingError, EOFError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a readable checkpoint; {REMEDY}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path}: not a checkpoint of this program; {REMEDY}")
    return content


def load_weights(model: GraphTask, path: Path) -> None:
    """Gives a model the weights and ranges of a checkpoint.

    Raises:
        UserError: if the file is not a checkpoint of such a model.
    """
    try:
        model.load_state_dict(read_checkpoint(path)["state_dict"])
    except RuntimeError as error:
        raise UserError(f"{path}: is of another model than the settings describe: {first_difference(error)}") from error


def first_difference(error: RuntimeError) -> str:
    """The first of the differences torch lists when a state does not fit."""
    _, _, differences = str(error).partition(":")
    return differences.strip().splitlines()[0].strip()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a kill leaves the old one or the new one."""

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads it onto the CPU; see `read_checkpoint` for what it raises."""
        return read_checkpoint(Path(path))

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """See the class."""
        temporary = f"{path}.{os.getpid()}.part"
        super().save_checkpoint(checkpoint, temporary, storage_options)
        os.replace(temporary, path)


def as_list(value: Any) -> list[Any]:
    """None, one thing or several, as a list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


class CellCLI(LightningCLI):
    """Builds trainer, model and datamodule of a configuration; runs nothing itself.

    Args:
        args: command-line words: --config files first, overrides after them.
        directory: the run's folder: checkpoints and log go there.

    Raises:
        UserError: one line naming the setting that is wrong.
    """

    model: GraphTask
    datamodule: GraphDataModule
    trainer: pl.Trainer

    def __init__(self, args: Sequence[str], directory: Path) -> None:
        self.directory = directory
        try:
            super().__init__(
                model_class=GraphTask,
                datamodule_class=GraphDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                parser_class=RaisingParser,
                parser_kwargs={"allow_abbrev": False},
                save_config_callback=None,
                run=False,
                args=[*args, f"--trainer.default_root_dir={directory}"],
            )
        except (ValueError, TypeError, MisconfigurationException) as problem:
            raise UserError(explain(str(problem))) from problem

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The model's widths come from the data; `init_from` is where its weights do."""
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="a run, a checkpoint, or a scheme: the run of the same cell and seed in it, trained first if need be",
        )
        for of_data, of_model in (("num_features", "in_features"), ("num_classes", "out_features")):
            parser.link_arguments(f"data.{of_data}", f"model.init_args.{of_model}", apply_on="instantiate")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Adds what every run has: atomic checkpoints (best and last), TensorBoard log, progress bar, an end at NaN."""
        metric, mode = self.model.monitor
        folder = self.directory / "checkpoints"
        common: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False, "save_on_train_epoch_end": True}
        extra: list[pl.Callback] = [
            ModelCheckpoint(filename="best", monitor=metric, mode=mode, **common),
            ModelCheckpoint(filename="last", monitor=None, **common),
            Divergence(),
        ]
        config = self._get(self.config_init, "trainer")
        if config.get("enable_progress_bar") is not False:
            extra.append(RichProgressBar(refresh_rate=10))
        if config.get("logger") is None:
            kwargs["logger"] = TensorBoardLogger(str(self.directory), name="tensorboard", version="")
        self.trainer_defaults = {"callbacks": extra}
        kwargs["plugins"] = [*as_list(config.get("plugins")), AtomicCheckpointIO()]
        return super().instantiate_trainer(enable_model_summary=False, **kwargs)

    def resolved(self) -> str:
        """The configuration as YAML."""
        return self.parser.dump(self.config, skip_link_targets=True, skip_none=False)
