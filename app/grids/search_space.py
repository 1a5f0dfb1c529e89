"""The search space of `tune`: which hyper-parameters of a cell are searched, and in which ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config.layers import find
from app.config.settings import read_yaml
from app.errors import UserError
from models.quantization.qconfig import percentile_for


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter.

    Attributes:
        key: the name of its setting.
        low, high: its range; of whole numbers, if both are.
        default: the cell's own value, if it has one.
        log: whether its logarithm is searched.
    """

    key: str
    low: float
    high: float
    default: float | None
    log: bool = False

    @property
    def first(self) -> float:
        """One value of it."""
        return self.low

    @property
    def range(self) -> list[Any]:
        """Its ends."""
        return [self.low, self.high]

    def holds(self, value: Any) -> bool:
        """Whether a value is within the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def suggest(self, trial: Any) -> float:
        """Returns a value for a trial of Optuna."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return int(trial.suggest_int(self.key, self.low, self.high, log=self.log))
        return float(trial.suggest_float(self.key, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Choice:
    """A hyper-parameter with a list of values (`range`); otherwise as `Parameter`."""

    key: str
    range: list[Any]
    default: Any = None

    @property
    def first(self) -> Any:
        """One value of it."""
        return self.range[0]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the list."""
        return value in self.range

    def suggest(self, trial: Any) -> Any:
        """Returns a value for a trial of Optuna."""
        return trial.suggest_categorical(self.key, self.range)


def read_space(path: Path, settings: Mapping[str, Any]) -> list[Parameter | Choice]:
    """Reads a search space: a YAML mapping of settings to `{low, high, log}`, or to a list of values.

    Args:
        settings: the resolved configuration of the cell.

    Raises:
        UserError: if the file is anything else.
    """
    space = [_parameter(path, key, item, settings) for key, item in read_yaml(path, f"--space {path}").items()]
    if not space:
        raise UserError(f"--space {path}: names no setting")
    return space


def _parameter(path: Path, key: str, item: Any, settings: Mapping[str, Any]) -> Parameter | Choice:
    default = find(settings, tuple(key.split(".")))
    if isinstance(item, list) and item and all(isinstance(value, str | int | float) for value in item):
        return Choice(key, item, default)
    ends = [item.get(end) for end in ("low", "high")] if isinstance(item, dict) else []
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(numbers) != 2 or item.keys() - {"low", "high", "log"} or not isinstance(item.get("log", False), bool):
        raise UserError(
            f"--space {path}: {key}: expected a list of values or {{low: 1, high: 9, log: true}}, got {item}"
        )
    low, high = numbers
    if low >= high or (item.get("log") and low <= 0):
        raise UserError(f"--space {path}: {key}: expected low < high, above 0 with log, got {low} and {high}")
    return Parameter(key, low, high, default, log=item.get("log", False))


def search_space(settings: Mapping[str, Any]) -> list[Parameter]:
    """Returns the parameters that have an effect in a cell.

    p_max is searched as p_min plus a width, so that every draw is a valid pair.

    Args:
        settings: the resolved configuration of the cell.
    """
    model = settings["model"]["init_args"]
    network, scheme = find(model, ("architecture", "init_args")) or {}, model["scheme"]
    space = [
        Parameter("model.lr", 1e-4, 5e-2, model["lr"], log=True),
        Parameter("model.weight_decay", 1e-6, 1e-2, model["weight_decay"], log=True),
    ]
    if "dropout" in network:
        space.append(Parameter("model.architecture.dropout", 0.0, 0.8, network["dropout"]))
    return space if scheme["bits"] == 32 else space + quantization_space(scheme)


def quantization_space(scheme: Mapping[str, Any]) -> list[Parameter]:
    """Returns the parameters of a quantization scheme that have an effect."""
    space = []
    if protection := scheme.get("protection"):
        p_min, p_max = protection["p_min"], protection["p_max"]
        space.append(Parameter("model.scheme.protection.p_min", 0.0, 0.3, p_min))
        space.append(Parameter("model.scheme.protection.width", 0.0, 0.3, p_max - p_min))
    observer = scheme["observer"]
    if observer["statistic"] == "percentile":
        percentile = observer["percentile"]
        default = percentile_for(scheme["bits"]) if percentile is None else percentile
        space.append(Parameter("model.scheme.observer.percentile", 0.01, 5.0, default, log=True))
    if observer["accumulation"] == "momentum":
        space.append(Parameter("model.scheme.observer.momentum", 1e-3, 0.5, observer["momentum"], log=True))
    return space


def defaults(space: Sequence[Parameter | Choice]) -> dict[str, Any]:
    """Returns the cell's own values as far as they lie in the ranges: the first trial, which the best must beat."""
    return {p.key: p.default for p in space if p.default is not None and p.holds(p.default)}


def as_settings(point: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a point of the search space: of a width, p_max."""
    settings = {key: value for key, value in point.items() if not key.endswith(".width")}
    for key, width in point.items():
        if key.endswith(".width"):
            prefix = key.removesuffix("width")
            settings[f"{prefix}p_max"] = settings[f"{prefix}p_min"] + width
    return settings
