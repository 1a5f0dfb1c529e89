"""Turns errors about settings into one line that says what is wrong and suggests what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer

import callbacks
import datamodules
import models.architectures
from app.cli.messages import of_the_trainer, one_line
from app.errors import UserError
from callbacks.stopping import DivergedError
from models.quantization.qconfig import NoiseConfig, ObserverConfig, ProtectionConfig, QuantScheme
from models.quantization.range_grids import NotFiniteError
from models.tasks import TASKS


def is_optimizer(value: object) -> bool:
    """Whether a value is a class of torch's optimizers."""
    return isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer


CLASSES: dict[str, dict[str, type]] = {
    "model": {f"models.tasks.{k.__name__}": k for k in TASKS},
    "model.architecture": {
        f"models.architectures.{k.__name__}": k for k in models.architectures.ARCHITECTURES.values()
    },
    "data": {f"datamodules.{k.__name__}": k for k in datamodules.DATAMODULES},
    "trainer.callbacks": {f"callbacks.{name}": getattr(callbacks, name) for name in callbacks.__all__},
    "trainer.logger": {name: getattr(pl.loggers, name) for name in pl.loggers.__all__},
    "model.optimizer": {f"torch.optim.{k.__name__}": k for k in vars(torch.optim).values() if is_optimizer(k)},
}
"""Setting -> the classes of this project that it accepts, for suggestions in messages."""

SETTINGS: dict[str, tuple[type, ...]] = {
    **{key: tuple(CLASSES[key].values()) for key in ("model", "model.architecture", "data")},
    "model.scheme": (QuantScheme,),
    "model.scheme.observer": (ObserverConfig,),
    "model.scheme.noise": (NoiseConfig,),
    "model.scheme.protection": (ProtectionConfig,),
    "trainer": (pl.Trainer,),
}
"""Setting -> the classes whose arguments are the settings below it, for suggestions in messages."""


def settings_of(kind: type) -> set[str]:
    """Returns the names of the arguments of a class and of its base classes."""
    constructors = [signature(base).parameters for base in kind.__mro__ if "__init__" in vars(base)]
    return {name for parameters in constructors for name in parameters} - {"args", "kwargs"}


def setting_names() -> list[str]:
    """Returns the names of all settings of our classes and of the trainer, ascending."""
    return sorted({f"{key}.{name}" for key, kinds in SETTINGS.items() for kind in kinds for name in settings_of(kind)})


def explain(message: str) -> str:
    """Returns one line for a message of jsonargparse or of a constructor, with suggestions."""
    return one_line(message, setting_names(), {key: list(classes) for key, classes in CLASSES.items()})


def told_by_lightning(problem: Exception) -> UserError:
    """Returns what Lightning says of settings of the trainer with the name of the setting in front."""
    return UserError(of_the_trainer(str(problem), setting_names()))


def check_time(value: object) -> None:
    """Raises UserError for `trainer.max_time` by units of which there is none; Python would not name the setting."""
    try:
        timedelta(**value if isinstance(value, Mapping) else {})
    except (TypeError, OverflowError) as problem:
        units = "expected numbers of days, hours, minutes, seconds"
        raise UserError(f"trainer.max_time: {units}, got {value}") from problem


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Makes one line of what Lightning refuses only while it trains, such as a monitored metric that nobody logs.

    Raises:
        UserError: instead of Lightning's exceptions; early stopping raises a bare RuntimeError.
        DivergedError: if weights became NaN or infinite within an epoch, before a loss showed it.
        KeyboardInterrupt: if its user stopped it; Lightning makes a SystemExit of that.
    """
    try:
        yield
    except SystemExit as end:
        raise KeyboardInterrupt from end
    except NotFiniteError as problem:
        raise DivergedError(f"diverged: {problem}") from problem
    except MisconfigurationException as problem:
        raise told_by_lightning(problem) from problem
    except RuntimeError as problem:
        if not str(problem).startswith("Early stopping conditioned on metric"):
            raise
        raise told_by_lightning(problem) from problem
