"""Metrics by name, of torchmetrics, with which of their values is best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAccuracy,
    MultilabelF1Score,
    MultilabelPrecisionRecallCurve,
)
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision
from torchmetrics.utilities.data import dim_zero_cat
from torchmetrics.wrappers import MultioutputWrapper

UNKNOWN = -1
"""What torchmetrics is told in place of a label that is NaN."""


@dataclass(frozen=True)
class Choice:
    """A metric that a task offers.

    Attributes:
        make: makes it for so many logits (or numbers): a function of (predictions [B, C], targets).
        best: which of its values is best.
    """

    make: Callable[[int], Metric]
    best: Literal["max", "min"] = "max"


def of_classes(kind: Callable[..., Metric], **settings: Any) -> Choice:
    """Returns the choice of a metric of classes, which refuses data that has one only (ValueError)."""

    def make(classes: int) -> Metric:
        if classes < 2:
            raise ValueError("model: learns classes, but the data has one only: choose a task for numbers, or label it")
        return kind(classes, **settings)

    return Choice(make)


class ClassF1Score(MulticlassF1Score):
    """F1 of classes; takes logits [B, C] and classes [B]."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        classes = torch.arange(preds.shape[1], device=preds.device)
        is_it = target[:, None] == classes
        count(self, preds.argmax(1)[:, None] == classes, yes=is_it, no=~is_it)


class LabelAccuracy(MultilabelAccuracy):
    """The share of labels that are right; takes logits [B, C], labels [B, C] of 1, 0 and NaN."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        count(self, preds > 0, yes=target == 1, no=target == 0)


class LabelF1Score(MultilabelF1Score):
    """F1 of labels; takes logits [B, C], labels [B, C] of 1, 0 and NaN."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        count(self, preds > 0, yes=target == 1, no=target == 0)


def count(metric: Any, said: Tensor, *, yes: Tensor, no: Tensor) -> None:
    """Adds what was said of labels, and was right or wrong, to a metric's counts; all [B, C] bool.

    torchmetrics' own `update` takes ops whose size a GPU has to tell the host.
    """
    metric.tp, metric.fp = metric.tp + (said & yes).sum(0), metric.fp + (said & no).sum(0)
    metric.fn, metric.tn = metric.fn + (~said & yes).sum(0), metric.tn + (~said & no).sum(0)


class LabelRanking(MultilabelPrecisionRecallCurve):
    """What a curve of each label's probability says, the mean over the labels that some rows have and some have not.

    Takes logits [B, C], labels [B, C] of 1, 0 and NaN; NaN where there is no such label.

    Args:
        measure: torchmetrics' function of the curves.
    """

    def __init__(self, measure: Callable[..., Tensor], **settings: Any) -> None:
        super().__init__(**settings)
        self.measure = measure

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        super().update(torch.sigmoid(preds), as_codes(target))

    def compute(self) -> Tensor:  # type: ignore[override]
        """Returns the mean."""
        scores, labels = (dim_zero_cat(part) for part in (self.preds, self.target))
        both = (labels == 1).any(0) & (labels == 0).any(0)
        if not bool(both.any()):
            return scores.new_tensor(nan)
        settings: dict[str, Any] = {"num_labels": int(both.sum()), "ignore_index": UNKNOWN, "validate_args": False}
        return self.measure(scores[:, both], labels[:, both], **settings)


class ClassRanking(LabelRanking):
    """The same of classes, each beside all others; takes logits [B, C] and classes [B]."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds rows."""
        labels = (target[:, None] == torch.arange(preds.shape[1], device=target.device)).long()
        MultilabelPrecisionRecallCurve.update(self, torch.softmax(preds, -1), labels)


def as_codes(labels: Tensor) -> Tensor:
    """Returns labels of 1, 0 and NaN as whole numbers."""
    return torch.where(labels.isnan(), float(UNKNOWN), labels).long()


def ranked(classes: int, *, measure: Callable[..., Tensor]) -> Metric:
    """Returns the metric of so many classes by a function of their curves."""
    return ClassRanking(measure, num_labels=classes, ignore_index=UNKNOWN, validate_args=False)


OF_CLASSES: Mapping[str, Choice] = {
    "accuracy": of_classes(MulticlassAccuracy, average="micro"),
    "f1": of_classes(ClassF1Score, average="macro"),
    "auroc": of_classes(ranked, measure=multilabel_auroc),
    "average_precision": of_classes(ranked, measure=multilabel_average_precision),
}
"""Of rows that have one class each. `f1` is the mean over classes; the last two are means over the classes that some
rows have and some have not: torchmetrics' own count 0 for a class that no row has."""


def of_labels(kind: Callable[..., Metric], **settings: Any) -> Choice:
    """Returns the choice of a metric of labels, of which there may be one."""
    return Choice(lambda labels: kind(num_labels=labels, ignore_index=UNKNOWN, validate_args=False, **settings))


OF_LABELS: Mapping[str, Choice] = {
    "accuracy": of_labels(LabelAccuracy, average="micro"),
    "f1": of_labels(LabelF1Score, average="macro"),
    "f1_micro": of_labels(LabelF1Score, average="micro"),
    "auroc": of_labels(LabelRanking, measure=multilabel_auroc),
    "average_precision": of_labels(LabelRanking, measure=multilabel_average_precision),
}
"""Of rows that have or have not each of several labels. `accuracy` and `f1_micro` count all labels of all rows alike;
the others are means over labels, the last two over those that some rows have and some have not."""


class R2OfKnown(R2Score):
    """R2; NaN of fewer than two numbers."""

    def compute(self) -> Tensor:
        """Returns it."""
        return super().compute() if self.total >= 2 else self.residual.new_tensor(nan)


class MeanOverTargets(MultioutputWrapper):
    """A metric of numbers, the mean over targets of each one's value over the rows where it is known; takes [B, C]."""

    def compute(self) -> Tensor:
        """Returns the mean over the targets that have a value."""
        return super().compute().nanmean()


def of_numbers(kind: type[Metric], best: Literal["max", "min"], of_several: type[Metric], **settings: Any) -> Choice:
    """Returns the choice of a metric of numbers, and what it is of each of several."""

    def make(numbers: int) -> Metric:
        return kind(**settings) if numbers == 1 else MeanOverTargets(of_several(**settings), numbers)

    return Choice(make, best)


OF_NUMBERS: Mapping[str, Choice] = {
    "mae": of_numbers(MeanAbsoluteError, "min", MeanAbsoluteError),
    "rmse": of_numbers(MeanSquaredError, "min", MeanSquaredError, squared=False),
    "r2": of_numbers(R2Score, "max", R2OfKnown),
}
"""Of rows that have one number or several; of several the mean over them of each one's value."""


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
