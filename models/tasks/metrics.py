"""Metrics by name, of torchmetrics, with which of their values is best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassF1Score,
)


@dataclass(frozen=True)
class Choice:
    """A metric that a task offers.

    Attributes:
        make: makes it for so many logits (or numbers): a function of (predictions [B, C], targets).
        best: which of its values is best.
    """

    make: Callable[[int], Metric]
    best: Literal["max", "min"] = "max"


class AUROC(MulticlassAUROC):
    """Area under the ROC curve of each class's probability, the mean over classes; takes logits [B, C]."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        super().update(torch.softmax(preds, -1), target)


class AveragePrecision(MulticlassAveragePrecision):
    """Area under the curve of precision over recall of each class, the mean over classes; takes logits [B, C]."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        super().update(torch.softmax(preds, -1), target)


def of_classes(kind: Callable[..., Metric], **settings: Any) -> Choice:
    """Returns the choice of a metric of classes, which refuses data that has one only (ValueError)."""

    def make(classes: int) -> Metric:
        if classes < 2:
            raise ValueError("model: learns classes, but the data has one only: choose a task for numbers, or label it")
        return kind(classes, **settings)

    return Choice(make)


OF_CLASSES: Mapping[str, Choice] = {
    "accuracy": of_classes(MulticlassAccuracy, average="micro"),
    "f1": of_classes(MulticlassF1Score, average="macro"),
    "auroc": of_classes(AUROC),
    "average_precision": of_classes(AveragePrecision),
}
"""Of rows that have one class each; `f1` is the mean over classes."""

OF_NUMBERS: Mapping[str, Choice] = {
    "mae": Choice(lambda numbers: MeanAbsoluteError(), "min"),
    "rmse": Choice(lambda numbers: MeanSquaredError(squared=False), "min"),
    "r2": Choice(lambda numbers: R2Score()),
}
"""Of rows that have one number or several; several count alike."""


def chosen(
    known: Mapping[str, Choice], names: Sequence[str] | None, monitor: str | None
) -> tuple[dict[str, Choice], tuple[str, str]]:
    """Returns the metrics to compute, the task's main one first, and the logged value that chooses the epoch.

    Args:
        known: what the task offers; its first is its own.
        names: which of them; None: the task's own.
        monitor: `val/loss` or `val/<name>`, whose metric is computed too; None: that of the first metric.

    Returns:
        The metrics by name, and the name and the mode (`max`, `min`) of what is monitored.

    Raises:
        ValueError: for a name that is not known, and for no name at all.
    """
    names = [next(iter(known))] if names is None else names
    if not names or (wrong := next((name for name in names if name not in known), None)):
        raise ValueError(f"metrics: expected some of {', '.join(known)}, got {'none' if not names else repr(wrong)}")
    found = {name: known[name] for name in names}
    monitor = monitor or f"val/{names[0]}"
    modes = {"val/loss": "min", **{f"val/{name}": choice.best for name, choice in known.items()}}
    if monitor not in modes:
        raise ValueError(f"monitor: expected one of {', '.join(modes)}, got {monitor!r}")
    watched = monitor.removeprefix("val/")
    return found | ({watched: known[watched]} if watched in known else {}), (monitor, modes[monitor])
