"""LightningCLI as this application uses it: cells as configs, one-line errors, atomic checkpoints."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from app.cli import UserError
from datamodules import GraphDataModule
from models.tasks import GraphTask

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


def quieten() -> None:
    """Keeps the libraries' start-up chatter off the screen; real warnings stay."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


class OneLineParser(LightningArgumentParser):
    """Raises UserError with one line instead of printing pages of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """See the class."""
        raise UserError(one_line(message)) from ex


def one_line(message: str) -> str:
    """The gist of a jsonargparse message: the key and the innermost reason."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    lines = [line.strip(" -") for line in text.splitlines() if line.strip(" -")]
    key = re.search(r'(?:Parser key|Key|key) "([^"]+)"', text)
    kept = [line for line in lines if not line.lower().startswith(("usage:", "error:", "tip:", "given value type"))]
    reason = " ".join(kept or lines)
    reason = re.sub(r"\s+", " ", reason)
    if len(reason) > 400:
        reason = reason[:200] + " ... " + reason[-180:]
    return reason if key is None or key.group(1) in reason else f"{key.group(1)}: {reason}"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a kill leaves the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """See the class."""
        temporary = f"{path}.{os.getpid()}.part"
        super().save_checkpoint(checkpoint, temporary, storage_options)
        os.replace(temporary, path)


class CellCLI(LightningCLI):
    """Builds trainer, model and datamodule of a configuration; runs nothing itself.

    Args:
        args: command-line words: --config files first, overrides after them.
        directory: the run's folder: checkpoints and log go there.
    """

    model: GraphTask
    datamodule: GraphDataModule
    trainer: pl.Trainer

    def __init__(self, args: Sequence[str], directory: Path) -> None:
        self.directory = directory
        super().__init__(
            model_class=GraphTask,
            datamodule_class=GraphDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=OneLineParser,
            parser_kwargs={"allow_abbrev": False},
            save_config_callback=None,
            run=False,
            args=[*args, f"--trainer.default_root_dir={directory}"],
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The model's widths come from the data."""
        for of_data, of_model in (("num_features", "in_features"), ("num_classes", "out_features")):
            parser.link_arguments(f"data.{of_data}", f"model.init_args.{of_model}", apply_on="instantiate")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Adds what every run has: checkpoints (best and last, atomic), TensorBoard log, progress bar."""
        metric, mode = self.model.monitor
        folder = self.directory / "checkpoints"
        common: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False, "save_on_train_epoch_end": True}
        extra: list[pl.Callback] = [
            ModelCheckpoint(filename="best", monitor=metric, mode=mode, **common),
            ModelCheckpoint(filename="last", monitor=None, **common),
        ]
        config = self._get(self.config_init, "trainer")
        if config.get("enable_progress_bar") is not False:
            extra.append(RichProgressBar(refresh_rate=10))
        if config.get("logger") is None:
            kwargs["logger"] = TensorBoardLogger(str(self.directory), name="tensorboard", version="")
        self.trainer_defaults = {"callbacks": extra, "plugins": [AtomicCheckpointIO()]}
        return super().instantiate_trainer(enable_model_summary=False, **kwargs)

    def resolved(self) -> str:
        """The configuration as YAML."""
        return self.parser.dump(self.config, skip_link_targets=True, skip_none=False)
