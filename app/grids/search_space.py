"""The search space of `tune`: which hyper-parameters of a cell are searched, and in which ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.quantization.qconfig import percentile_for


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter.

    Attributes:
        key: the name of its setting.
        low, high: its range.
        default: the cell's own value, if it has one.
        log: whether its logarithm is searched.
    """

    key: str
    low: float
    high: float
    default: float | None
    log: bool = False

    def suggest(self, trial: Any) -> float:
        """Returns a value for a trial of Optuna."""
        return float(trial.suggest_float(self.key, self.low, self.high, log=self.log))


def search_space(settings: Mapping[str, Any]) -> list[Parameter]:
    """Returns the parameters that have an effect in a cell.

    p_max is searched as p_min plus a width, so that every draw is a valid pair.

    Args:
        settings: the resolved configuration of the cell.
    """
    model = settings["model"]["init_args"]
    network, scheme = model["architecture"]["init_args"], model["scheme"]
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


def defaults(space: Sequence[Parameter]) -> dict[str, float]:
    """Returns the cell's own values as far as they lie in the ranges: the first trial, which the best must beat."""
    return {p.key: p.default for p in space if p.default is not None and p.low <= p.default <= p.high}


def as_settings(point: Mapping[str, float]) -> dict[str, float]:
    """Returns the settings of a point of the search space: of a width, p_max."""
    settings = {key: value for key, value in point.items() if not key.endswith(".width")}
    for key, width in point.items():
        if key.endswith(".width"):
            prefix = key.removesuffix("width")
            settings[f"{prefix}p_max"] = settings[f"{prefix}p_min"] + width
    return settings
