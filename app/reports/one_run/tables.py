"""Tables of one run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.engine.program.grid import Grid
from app.reports.layout import Layout
from app.reports.one_run.evidence import Evidence
from app.reports.plots.log import Log
from app.reports.results import bits_of
from app.reports.rows import Rows, Tables
from app.reports.tables import bits_text, exactness, mixed_precision, without_program
from app.runs.predictions.degrees import bin_name
from app.runs.timing import processor
from callbacks.model_size import layer_sizes
from models.quantization.column_scales import ColumnScales

MANY_CLASSES = 12
"""With more classes than that, the most frequent confusions are listed instead of a matrix."""

SHARES = (0, 5, 25, 50, 75, 95, 100)
"""Per cent of residuals below the values that a table of them has."""


def tables_of_run(found: Evidence, log: Log | None) -> Tables:
    """Returns all tables of a run by title; those without rows are left out."""
    results = {found.result["cell"]: [found.result]}
    layout = Layout.of_results(results)
    tables = {
        "The run": about(found),
        "Metrics at the epoch chosen on validation": metrics(found),
        **of_predictions(found),
        "Bits of mixed schemes": mixed_precision(layout, results),
        "Ranges, and what they clip": ranges(found, log),
        "Integer program against evaluation of the trained model": exactness(layout, results),
        "Without an integer program": without_program(layout, results),
        "Size": sizes(found),
        latency_title(found): latency(found),
    }
    return {title: rows for title, rows in tables.items() if len(rows) > 1}


def about(found: Evidence) -> Rows:
    """What the run is: a row per fact."""
    result, data = found.result, found.result.get("data", {})
    bits, seconds = bits_of(result), result.get("durations", {}).get("fit")
    facts: Mapping[str, object] = {
        "cell": found.result["cell"],
        "seed": found.result["seed"],
        "folder": found.run.directory,
        "data": data.get("name"),
        "not the published original": data.get("substitute"),
        "of the data": "; ".join(data.get("remarks", [])),
        "bits": bits_text(bits) if bits else "mixed",
        "epoch": f"{result['epoch'] + 1} of {result.get('epochs')}, chosen by {found.built.model.monitor[0]}",
        "trained": f"{seconds:.0f} s on {', '.join(result.get('trained_on', [])) or 'cpu'}" if seconds else None,
        "version": result.get("versions", {}).get("degree-quant"),
        "revision": result.get("revision"),
    }
    return [["", ""], *([name, str(fact)] for name, fact in facts.items() if fact not in (None, ""))]


def metrics(found: Evidence) -> Rows:
    """A row per metric, with its value on validation and test."""
    values = found.result["metrics"]
    names = dict.fromkeys(name.partition("/")[2] for name in values)
    sides = ("val", "test")
    texts = {
        name: ["" if (v := values.get(f"{side}/{name}")) is None else f"{v:.4f}" for side in sides] for name in names
    }
    return [["", "validation", "test"], *([name, *of_sides] for name, of_sides in texts.items())]


def of_predictions(found: Evidence) -> Tables:
    """What is predicted on the test data: confusions of classes or residuals of numbers, and errors by in-degree."""
    if found.predictions.learned == "regression":
        return {
            "Residuals (predicted - target), test": residual_rows(found),
            "Error by in-degree, test": by_degree(found),
        }
    counts = confusions(found)
    many = len(counts) > MANY_CLASSES
    title, rows = ("Most frequent confusions", frequent) if many else ("Confusion matrix", matrix)
    return {f"{title}, test": rows(counts, class_texts(found)), "Error by in-degree, test": by_degree(found)}


def class_texts(found: Evidence) -> list[str]:
    """The labels of the classes."""
    names = found.predictions.class_names or range(found.predictions.outputs.shape[1])
    return [str(name) for name in names]


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


def residuals(found: Evidence) -> np.ndarray:
    """Returns [rows, C] prediction - target on the test data."""
    outputs = found.predictions.outputs.astype(np.float64)
    values: np.ndarray = outputs - found.predictions.targets.reshape(outputs.shape)
    return values


def residual_rows(found: Evidence) -> Rows:
    """A row per target: mean, deviation and quantiles of the residuals."""
    values = residuals(found)
    rows = [["target", "mean", "deviation", "mean absolute", *(f"{share} %" for share in SHARES)]]
    for number, column in enumerate(values.T):
        numbers = (column.mean(), column.std(), np.abs(column).mean(), *np.percentile(column, SHARES))
        rows.append([str(number), *(f"{number:.4g}" for number in numbers)])
    return rows


def by_degree(found: Evidence) -> Rows:
    """A row per bin of in-degree: its rows, and how wrong they are."""
    bins, kind = found.degree_bins, found.predictions.kind
    classes = found.predictions.learned == "classification"
    wrong = row_errors(found)
    name = "in-degree" if kind == "node" else "mean in-degree of the graph"
    rows = [[name, f"{kind}s", *(["wrong", "wrong %"] if classes else ["mean absolute error"])]]
    for number in np.unique(bins).tolist():
        of_bin = wrong[bins == number]
        texts = [str(int(of_bin.sum())), f"{100 * of_bin.mean():.1f}"] if classes else [f"{of_bin.mean():.4g}"]
        rows.append([bin_name(number), str(len(of_bin)), *texts])
    return rows


def row_errors(found: Evidence) -> np.ndarray:
    """Returns [rows] how wrong each test row is: 1 for a wrong class, or the absolute residual, the mean of several."""
    predicted = found.predictions
    if predicted.learned == "regression":
        return np.asarray(np.abs(residuals(found)).mean(1))
    return np.asarray(predicted.outputs.argmax(1) != predicted.targets, np.float64)


def ranges(found: Evidence, log: Log | None) -> Rows:
    """A row per site that rounds: its grid at the best epoch, and the share that it clipped when it was last logged."""
    rows = [["site", "bits", "lowest", "highest", "step", "clipped %"]]
    for site in found.sites:
        clipped = log.last(f"clipped/{site.name}") if log else None
        share = "" if clipped is None else f"{100 * clipped:.3g}"
        if isinstance(site, ColumnScales):
            rows.append([site.name, str(site.bits), "", "", "one a column", share])
        else:
            grid = site.grid()
            rows.append([site.name, str(site.bits), *(f"{end:.4g}" for end in ends(grid)), f"{grid.scale:.4g}", share])
    return rows


def ends(grid: Grid) -> tuple[float, float]:
    """Returns the smallest and the largest value of a grid."""
    return (grid.qmin - grid.zero_point) * grid.scale, (grid.qmax - grid.zero_point) * grid.scale


def sizes(found: Evidence) -> Rows:
    """A row per layer with parameters: their number, their bytes in float32 and as they are stored in the program."""
    layers = layer_sizes(found.built.model.network)
    numbers = [[f"{number:,}" for number in layer[2:]] for layer in layers]
    totals = [f"{sum(column):,}" for column in list(zip(*layers, strict=True))[2:]]
    body = [[layer[0], layer[1], *texts] for layer, texts in zip(layers, numbers, strict=True)]
    rows = [["layer", "kind", "parameters", "FP32 bytes", "quantized bytes"], *body, ["total", "", *totals]]
    if found.program is not None:
        rows.append(["program", "all constants", "", "", f"{found.program.num_bytes:,}"])
    return rows


def latency_title(found: Evidence) -> str:
    """Says what was timed where."""
    nodes, edges = found.batch.x.shape[0], found.batch.edge_index.shape[1]
    return f"Latency of one forward of {nodes:,} nodes and {edges:,} edges, one thread, on {processor()}"


def latency(found: Evidence) -> Rows:
    """A row for the network in floats and one for the program; `train.py benchmark --run` compares with PyG."""
    rows = [["", "median ms", "quartiles", "fastest ms"]]
    for name, timing in found.latency.items():
        rows.append([name, f"{timing.median:.3f}", f"{timing.lower:.3f} - {timing.upper:.3f}", f"{timing.fastest:.3f}"])
    return rows
