"""Tables of what one run predicts: confusions of classes, labels one by one, residuals; errors by in-degree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from app.reports.one_run.evidence import Evidence
from app.reports.rows import Rows, Tables
from app.runs.predictions.degrees import bin_name
from app.runs.predictions.table import output_names
from models.tasks.targets import TARGETS

MANY_CLASSES = 12
"""With more classes than that, the most frequent confusions are listed instead of a matrix."""

SHARES = (0, 5, 25, 50, 75, 95, 100)
"""Per cent of residuals below the values that a table of them has."""

ERRORS: dict[str, tuple[str, Callable[[np.ndarray], str]]] = {
    "classification": ("wrong %", lambda wrong: f"{100 * wrong.mean():.1f}"),
    "multilabel": ("labels wrong %", lambda wrong: f"{100 * wrong.mean():.1f}"),
    "regression": ("mean absolute error", lambda wrong: f"{wrong.mean():.4g}"),
}
"""What an error is called, and the mean of several as text; by what is learned."""


def of_predictions(found: Evidence) -> Tables:
    """What is predicted on the test data, and errors by in-degree."""
    learned = {"classification": of_classes, "multilabel": of_labels, "regression": of_numbers}
    return {**learned[found.predictions.learned](found), "Error by in-degree, test": by_degree(found)}


def of_classes(found: Evidence) -> Tables:
    """Confusions."""
    counts = confusions(found)
    many = len(counts) > MANY_CLASSES
    title, rows = ("Most frequent confusions", frequent) if many else ("Confusion matrix", matrix)
    return {f"{title}, test": rows(counts, output_names(found.predictions))}


def of_labels(found: Evidence) -> Tables:
    """Labels one by one."""
    return {"Labels, test": label_rows(found)}


def of_numbers(found: Evidence) -> Tables:
    """Residuals."""
    return {"Residuals (predicted - target), test": residual_rows(found)}


def confusions(found: Evidence) -> np.ndarray:
    """Returns [C, C] how many test rows of a class (row) were taken for which (column)."""
    targets, chosen = found.predictions.targets, found.predictions.outputs.argmax(1)
    classes = found.predictions.outputs.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (targets, chosen), 1)
    return counts


def matrix(counts: np.ndarray, names: list[str]) -> Rows:
    """A row per class: for which its rows were taken, and which share rightly."""
    rows = [["class \\ taken for", *names, "recall %"]]
    for number, name in enumerate(names):
        total = counts[number].sum()
        recall = f"{100 * counts[number, number] / total:.1f}" if total else ""
        rows.append([name, *(str(count) for count in counts[number]), recall])
    right, chosen = counts.diagonal(), counts.sum(0)
    shares = [f"{100 * hits / total:.1f}" if total else "" for hits, total in zip(right, chosen, strict=True)]
    return [*rows, ["precision %", *shares, ""]]


def frequent(counts: np.ndarray, names: list[str]) -> Rows:
    """A row for each of the most frequent confusions."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = wrong.ravel().argsort(kind="stable")[::-1][: 2 * MANY_CLASSES]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [["class", "taken for", "rows"], *([names[a], names[b], str(wrong[a, b])] for a, b in pairs if wrong[a, b])]


def label_counts(found: Evidence) -> np.ndarray:
    """Returns [C, 4] of each label, over the test rows where it is known: rows, rows with it, predicted, and both."""
    targets, predicted = found.predictions.targets, found.predictions.outputs > 0
    known, has = ~np.isnan(targets), targets == 1
    return np.stack([known.sum(0), has.sum(0), (known & predicted).sum(0), (has & predicted).sum(0)], 1)


def label_rows(found: Evidence) -> Rows:
    """A row per label: in how many rows it is known, has to be and was predicted, and how well that is done."""
    rows = [["label", "rows", "with it", "predicted", "precision %", "recall %", "F1 %"]]
    for name, (known, has, predicted, both) in zip(output_names(found.predictions), label_counts(found), strict=True):
        shares = ((both, predicted), (both, has), (2 * both, has + predicted))
        texts = [f"{100 * part / total:.1f}" if total else "" for part, total in shares]
        rows.append([name, str(known), str(has), str(predicted), *texts])
    return rows


def residuals(found: Evidence) -> np.ndarray:
    """Returns [rows, C] prediction - target on the test data; NaN where the target is not known."""
    values: np.ndarray = found.predictions.outputs.astype(np.float64) - found.predictions.targets
    return values


def residual_rows(found: Evidence) -> Rows:
    """A row per target: mean, deviation and quantiles of the residuals; of several in how many rows it is known."""
    values, names = residuals(found), output_names(found.predictions)
    several = len(names) > 1
    rows = [["target", *["rows"] * several, "mean", "deviation", "mean absolute", *(f"{share} %" for share in SHARES)]]
    for name, column in zip(names, values.T, strict=True):
        known = column[~np.isnan(column)]
        texts = [""] * (3 + len(SHARES))
        if len(known):
            numbers = (known.mean(), known.std(), np.abs(known).mean(), *np.percentile(known, SHARES))
            texts = [f"{number:.4g}" for number in numbers]
        rows.append([name, *[str(len(known))] * several, *texts])
    return rows


def by_degree(found: Evidence) -> Rows:
    """A row per bin of in-degree: its rows, and how wrong they are."""
    bins, kind, learned = found.degree_bins, found.predictions.kind, found.predictions.learned
    error, text = ERRORS[learned]
    counted = learned == "classification"
    wrong = row_errors(found)
    name = "in-degree" if kind == "node" else "mean in-degree of the graph"
    rows = [[name, f"{kind}s", *["wrong"] * counted, error]]
    for number in np.unique(bins).tolist():
        of_bin = wrong[bins == number]
        rows.append([bin_name(number), str(len(of_bin)), *[str(int(of_bin.sum()))] * counted, text(of_bin)])
    return rows


def row_errors(found: Evidence) -> np.ndarray:
    """Returns [rows] how wrong each test row is, see `Target.errors`."""
    predicted = found.predictions
    outputs, targets = torch.from_numpy(predicted.outputs), torch.from_numpy(predicted.targets)
    return TARGETS[predicted.learned].errors(outputs, targets).numpy()
