"""The logs of a run: the one of TensorBoard that every run has, and those that settings put beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only


class RunLog(TensorBoardLogger):
    """A log in one file for all that a process does with a run, until `close`.

    Lightning finalizes a logger after training and after every evaluation, upon which `TensorBoardLogger` closes its
    file and goes on in a new one.

    Raises:
        OSError: where nothing can be written, as on a full disk; it names the folder.
    """

    @property
    def experiment(self) -> Any:
        """See `TensorBoardLogger`."""
        with naming(self.log_dir):
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See `TensorBoardLogger`."""
        with naming(self.log_dir):
            super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: dict[str, Any] | None = None, step: int | None = None) -> None:
        """See `TensorBoardLogger`."""
        with naming(self.log_dir):
            super().log_hyperparams(params, metrics, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what waits."""
        if self._experiment is not None:
            with naming(self.log_dir):
                self.experiment.flush()

    @rank_zero_only
    def save(self) -> None:
        """Writes what waits, and `hparams.yaml`."""
        with naming(self.log_dir):
            super().save()

    @rank_zero_only
    def close(self) -> None:
        """Writes `hparams.yaml` and closes the file."""
        self.save()
        if self._experiment is not None:
            with naming(self.log_dir):
                self.experiment.close()


@contextmanager
def naming(folder: str) -> Iterator[None]:
    """Names a folder in what the system says of a log that cannot be written, for it is said of no file."""
    try:
        yield
    except (OSError, ValueError) as problem:
        said = problem if isinstance(problem, OSError) else problem.__cause__  # Lightning makes a ValueError of it
        if isinstance(said, OSError) and said.errno:
            raise OSError(said.errno, said.strerror, folder) from problem
        raise


@contextmanager
def logs_ended(trainer: pl.Trainer) -> Iterator[None]:
    """Ends the logs of W&B behind a run, however it ends: else the next run of this process would go on in them."""
    loggers = list(trainer.loggers)
    try:
        yield
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger) and import_module("wandb").run is not None:
                logger.experiment.finish()


def in_folder(setting: Any, folder: Path) -> Any:
    """Returns a logger as settings name it, or a list of such, with `save_dir` in the run's folder where it has none.

    A class that takes no `save_dir`, or cannot be imported, and all that names no class stay as they are.
    """
    if isinstance(setting, list):
        return [in_folder(item, folder) for item in setting]
    name = setting.get("class_path") if isinstance(setting, Mapping) else setting
    if not isinstance(name, str) or not _takes_folder(name):
        return setting
    given = dict(setting) if isinstance(setting, Mapping) else {"class_path": setting}
    given["init_args"] = {"save_dir": str(folder)} | (given.get("init_args") or {})
    return given


def _takes_folder(name: str) -> bool:
    module, _, kind = name.rpartition(".")
    try:
        found = getattr(import_module(module or "pytorch_lightning.loggers"), kind, None)
    except ImportError:
        return False
    return isinstance(found, type) and "save_dir" in signature(found).parameters
