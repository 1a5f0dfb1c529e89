"""One-line messages about wrong settings, with suggestions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import callbacks
import datamodules
import models.architectures
from app.cli.messages import one_line
from app.errors import UserError
from models.quantization.qconfig import NoiseConfig, ObserverConfig, ProtectionConfig, QuantScheme
from models.tasks import GraphClassification, GraphRegression, NodeClassification

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
