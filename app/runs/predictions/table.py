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
    not known); then of classes `class` and `score_<class>` for each of them, their probabilities; of a number `value`.
    Several numbers have `target_<name>` and `value_<name>` each; labels have `target_<label>`, `predicted_<label>` (1
    where the probability is above one half, else 0) and `score_<label>` (the probability).
    """
    learned = {"classification": _classes, "multilabel": _labels, "regression": _numbers}[found.learned]
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


def _labels(found: Predictions) -> tuple[list[Column], list[Column]]:
    """Returns the columns of targets and predictions of labels, of which each row has any number."""
    with np.errstate(over="ignore"):
        scores = 1 / (1 + np.exp(-found.outputs.astype(np.float64)))
    predicted: list[Column] = []
    for name, chosen, column in zip(output_names(found), (found.outputs > 0).T, scores.T, strict=True):
        predicted += [(f"predicted_{name}", chosen.astype(int).tolist()), (f"score_{name}", _texts(column))]
    return _targets(found, lambda value: str(int(value))), predicted


def _numbers(found: Predictions) -> tuple[list[Column], list[Column]]:
    """Returns the columns of targets and predictions of numbers, in their shortest exact decimal form."""
    outputs, names = [np.float32(column) + 0.0 for column in found.outputs.T], output_names(found)
    heads = [f"value_{name}" for name in names] if len(names) > 1 else ["value"]
    texts = [[str(value) for value in column] for column in outputs]
    return _targets(found, lambda value: str(value + 0.0)), list(zip(heads, texts, strict=True))


def _targets(found: Predictions, text: Callable[[np.float32], str]) -> list[Column]:
    """Returns the columns of labels or numbers; empty where they are not known."""
    names = output_names(found)
    one = found.learned == "regression" and len(names) == 1
    return [
        ("target" if one else f"target_{name}", ["" if np.isnan(value) else text(value) for value in column])
        for name, column in zip(names, np.float32(found.targets).T, strict=True)
    ]


def output_names(found: Predictions) -> list[str]:
    """Returns what the columns of the outputs are called: classes, labels or numbers."""
    return [str(name) for name in found.class_names or range(found.outputs.shape[1])]


def _texts(column: np.ndarray) -> list[str]:
    return [f"{value:.9g}" for value in column]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits [rows, C], in float64."""
    shares: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares
