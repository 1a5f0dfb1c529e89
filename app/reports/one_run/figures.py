"""Pictures of one run, as SVG by name."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from app.reports.one_run.evidence import Evidence
from app.reports.one_run.predicted import by_degree, confusions, label_counts, residuals
from app.reports.plots.by_site import lines_of_sites
from app.reports.plots.canvas import labelled_axes, svg
from app.reports.plots.log import Log
from app.runs.predictions.table import output_names
from app.runs.result import chosen_epoch

SPLITS = {"train": "#999999", "val": "#0072b2"}
"""Lines of learning curves, and their colours."""

LARGEST_NUMBERED = 12
"""Classes or labels up to which a picture has names or numbers written in; targets up to which each has a picture."""


def pictures_of_run(found: Evidence, log: Log | None) -> dict[str, str]:
    """Draws all that there is of a run: learning curves first."""
    figures: dict[str, Figure | None] = {}
    if log is not None:
        figures["learning-curves"] = learning_curves(found, log)
        figures["ranges"] = lines_of_sites(log, "scale", "Ranges over training: step of each site", logarithmic=True)
        figures["clipped"] = lines_of_sites(log, "clipped", "Clipped share of the first validation batch")
    learned, names = found.predictions.learned, output_names(found.predictions)
    if learned == "classification":
        figures["confusion"] = confusion_picture(confusions(found), names)
    elif learned == "multilabel":
        figures["labels"] = label_picture(label_counts(found), names)
    else:
        several = len(names) > 1
        for number, name in enumerate(names[:LARGEST_NUMBERED]):
            figures[f"residuals-{number}" if several else "residuals"] = residual_picture(found, number, name * several)
    figures["error-by-in-degree"] = degree_picture(found)
    return {name: svg(figure) for name, figure in figures.items() if figure is not None}


def learning_curves(found: Evidence, log: Log) -> Figure | None:
    """Draws loss and metrics of training and validation over epochs (from 1), a line at the chosen one."""
    names = list(dict.fromkeys(tag.partition("/")[2] for tag in log.tags if tag.startswith("val/")))
    if not names:
        return None
    figure = Figure(figsize=(5.2 * len(names), 3.6), layout="constrained")
    epochs = found.result.get("epochs", 0)
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        for split, colour in SPLITS.items():
            x, y = log.curve(f"{split}/{name}")
            during = x <= epochs if epochs else slice(None)  # older logs have the evaluation after training behind
            if len(x):
                axes.plot(x[during], y[during], color=colour, label={"val": "validation"}.get(split, split))
        axes.axvline(chosen_epoch(found.result), color="black", linestyle=":", linewidth=1.0, label="chosen")
        axes.set(title=name, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def confusion_picture(counts: np.ndarray, names: list[str]) -> Figure:
    """Draws the share of each class (row) that was taken for which class (column)."""
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.where(totals == 0, 1, totals)
    figure = labelled_axes("Confusion matrix, test", "taken for", "class")
    (axes,) = figure.axes
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    if len(names) <= LARGEST_NUMBERED:
        axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0)
        axes.set_yticks(range(len(names)), names)
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    return figure


def label_picture(counts: np.ndarray, names: list[str]) -> Figure:
    """Draws F1 of every label as a bar, the most frequent label first."""
    order = counts[:, 1].argsort(kind="stable")[::-1]
    _, has, predicted, both = counts[order].T
    figure = labelled_axes("F1 of labels, test", "label, most frequent first", "F1 %")
    (axes,) = figure.axes
    axes.bar(range(len(order)), 200 * both / np.maximum(has + predicted, 1), color=SPLITS["val"])
    if len(names) <= LARGEST_NUMBERED:
        axes.set_xticks(range(len(order)), [names[k] for k in order], rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_ylim(0.0, 100.0)
    axes.set_axisbelow(True)
    return figure


def residual_picture(found: Evidence, number: int, name: str) -> Figure | None:
    """Draws predictions of a target over its values, and how residuals are spread; None where no value is known."""
    values, outputs = residuals(found)[:, number], found.predictions.outputs[:, number]
    known = ~np.isnan(values)
    if not known.any():
        return None
    values, outputs = values[known], outputs[known]
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    targets, of = outputs - values, f" of {name}" if name else ""
    left.scatter(targets, outputs, s=6, alpha=0.4, color=SPLITS["val"])
    ends = [min(targets.min(), outputs.min()), max(targets.max(), outputs.max())]
    left.plot(ends, ends, color="black", linestyle=":", linewidth=1.0)
    left.set(title=f"Predictions{of}, test", xlabel="target", ylabel="predicted")
    right.hist(values, bins=40, color=SPLITS["val"])
    right.axvline(0.0, color="black", linestyle=":", linewidth=1.0)
    right.set(title=f"Residuals{of}, test", xlabel="predicted - target", ylabel="rows")
    return figure


def degree_picture(found: Evidence) -> Figure:
    """Draws the error of every bin of in-degree as a bar, with the number of its rows on top."""
    header, *rows = by_degree(found)
    figure = labelled_axes("Error by in-degree, test", header[0], header[-1])
    (axes,) = figure.axes
    bars = axes.bar(range(len(rows)), [float(row[-1]) for row in rows], color=SPLITS["val"])
    axes.bar_label(bars, [f"{row[1]} {header[1]}" for row in rows], fontsize=7, padding=1)
    axes.set_xticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(0.0, 1.15 * max(float(row[-1]) for row in rows) or 1.0)
    axes.set_axisbelow(True)
    return figure
