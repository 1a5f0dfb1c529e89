"""Tables of one run."""

from __future__ import annotations

from collections.abc import Mapping

from app.reports.layout import Layout
from app.reports.one_run.evidence import Evidence
from app.reports.one_run.predicted import of_predictions
from app.reports.plots.log import Log
from app.reports.results import bits_of
from app.reports.rows import Rows, Tables
from app.reports.tables import bits_text, exactness, mixed_precision, without_program
from app.runs.result import chosen_epoch
from app.runs.timing import processor
from callbacks.model_size import layer_sizes
from models.quantization.scales.columns import ColumnScales
from models.quantization.scales.features import FeatureScales


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
        "epoch": f"{chosen_epoch(result)} of {result.get('epochs')}, chosen by {found.built.model.monitor[0]}",
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


def ranges(found: Evidence, log: Log | None) -> Rows:
    """A row per site that rounds: its grid at the best epoch, and the share that it clipped when it was last logged."""
    rows = [["site", "bits", "lowest", "highest", "step", "clipped %"]]
    for site in found.sites:
        clipped = log.last(f"clipped/{site.name}") if log else None
        share = "" if clipped is None else f"{100 * clipped:.3g}"
        if isinstance(site, ColumnScales):
            rows.append([site.name, str(site.bits), "", "", "one a column", share])
        else:
            *ends, step = (f"{number:.4g}" for number in site.limits())
            of_features = " (mean of the features')" * isinstance(site, FeatureScales)
            rows.append([site.name, str(site.bits), *ends, step + of_features, share])
    return rows


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
