"""A tiny model and graph, and a real trainer that takes a second."""

from __future__ import annotations

import warnings

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datamodules import SyntheticDataModule
from models.architectures import ARCHITECTURES
from models.tasks import NodeClassification


@pytest.fixture(scope="session")
def data():
    """200 nodes."""
    return SyntheticDataModule(num_nodes=200, num_features=100, num_classes=3, num_val=50, num_test=50)


@pytest.fixture
def make_task(make_scheme):
    """make_task("dq", 4, architecture="gcn", ...) -> a task of that scheme."""

    def build(name, bits=8, architecture="gcn", **changes):
        return NodeClassification(
            lambda i, o, s: ARCHITECTURES[architecture](i, o, s, hidden=4), 100, 3, make_scheme(name, bits, **changes)
        )

    return build


@pytest.fixture
def fit(data, tmp_path):
    """fit(task, callbacks, epochs, log=True) -> the trainer after a fit that logs below `tmp_path`."""

    def run(task, callbacks, epochs=3, *, log=False, **settings):
        logger = TensorBoardLogger(str(tmp_path), name="board", version="") if log else False
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, max_epochs=epochs, callbacks=callbacks,
            num_sanity_val_steps=0, enable_model_summary=False, default_root_dir=str(tmp_path), log_every_n_steps=1,
            **{"enable_checkpointing": False, "enable_progress_bar": False, "logger": logger, **settings},
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(task, data)
        if log:
            trainer.logger.experiment.flush()
        return trainer

    return run


class Diary(pl.Callback):
    """Notes something about the model at the end of every training epoch, in `entries`."""

    def __init__(self, look):
        self.look, self.entries = look, []

    def on_train_epoch_end(self, trainer, pl_module):
        self.entries.append(self.look(pl_module))


@pytest.fixture
def diary() -> type[Diary]:
    """diary(look) -> a callback whose `entries` are `look(model)` after every training epoch."""
    return Diary


@pytest.fixture
def board(tmp_path):
    """board() -> what was logged, read back from the event file."""

    def read():
        events = EventAccumulator(str(tmp_path / "board"))
        events.Reload()
        return events

    return read
