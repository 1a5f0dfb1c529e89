"""Predictions as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import numpy as np

from app.runs.predictions.rows import Predictions

Column = tuple[str, Sequence[object]]
"""Its name, and a value for each row."""


def as_csv(found: Predictions) -> str:
    """Returns predictions as CSV, a row per node or graph.

    The columns are `node` or `graph` (the row's own name), `split` (empty: in none) and `target` (empty where it is
    not known); then of classes `class` and `score_<label>` for each of them, their probabilities; of a number
    `value`; of several numbers `target_<i>` and `value_<i>`.
    """
    learned = {"classification": _classes, "regression": _numbers}[found.learned]
    targets, predicted = learned(found)
    columns: list[Column] = [(found.kind, found.ids), ("split", found.parts)]
    for name, values in targets:
        columns.append((name, [value if there else "" for value, there in zip(values, found.labelled, strict=True)]))
    columns += predicted
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return text.getvalue()


def _classes(found: Predictions) -> tuple[list[Column], list[Column]]:
    """Returns the columns of targets and predictions of classes, of which each row has one."""
    scores = softmax(found.outputs)
    labels = found.class_names or range(scores.shape[1])
    label: Callable[[int], object] = labels.__getitem__
    targets: list[Column] = [("target", list(map(label, np.clip(found.targets, 0, len(labels) - 1).tolist())))]
    chosen: Column = ("class", list(map(label, scores.argmax(1).tolist())))
    return targets, [chosen, *((f"score_{label(i)}", _texts(column)) for i, column in enumerate(scores.T))]


def _numbers(found: Predictions) -> tuple[list[Column], list[Column]]:
    """Returns the columns of targets and predictions of numbers, in their shortest exact decimal form."""
    several = found.outputs.shape[1] > 1
    targets, values = ([np.float32(c) + 0.0 for c in side.T] for side in (_wide(found.targets), found.outputs))
    return tuple(  # type: ignore[return-value]
        [(f"{name}_{i}" if several else name, [str(value) for value in column]) for i, column in enumerate(side)]
        for name, side in (("target", targets), ("value", values))
    )


def _wide(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _texts(column: np.ndarray) -> list[str]:
    return [f"{value:.9g}" for value in column]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits [rows, C], in float64."""
    shares: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares
