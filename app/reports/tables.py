"""Tables of results, as rows of text: what stands in the placements of a layout, and how sure a difference is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from app.config.cells import CONFIGS
from app.config.settings import read_yaml
from app.reports.layout import Layout, Placement
from app.reports.results import Results, score_of, values_by_seed
from app.reports.rows import Rows, Tables, without_empty_columns
from app.reports.statistics import (
    Pair,
    PairedTest,
    best_on_validation,
    mean_difference,
    one_a_seed,
    paired_test,
    pairs_of,
)
from app.runs.result import Result, all_bits

if TYPE_CHECKING:  # imports torch, which tables do without
    from models.quantization.qconfig import Part
    from models.quantization.sites import BitWidths, PartWidths

EXACTNESS: dict[str, tuple[str, Callable[[Iterable[int]], int]]] = {
    "codes": ("codes", sum),
    "differ": ("codes_differing", sum),
    "largest": ("largest_difference", max),
    "predictions": ("predictions", sum),
    "differ ": ("predictions_differing", sum),
    "beyond margin": ("margin_violations", sum),
}
"""Columns of the exactness table: the key in a result, and how the numbers of the seeds become one."""

KINDS: tuple[Literal["weights"], Literal["activations"]] = ("weights", "activations")

ENDS: tuple[Part, ...] = ("first", "last", "skip")
"""Parts of a network that a table of bits has columns for."""

PUBLISHED_METRIC = "accuracy %"
"""Of all published figures."""

SHOWN = 4
"""Sites that a table of bits names."""

SUBSTITUTE_MARK = "*"
"""Stands at rows that are not of the published data."""

CHANGED_MARK = "†"
"""Stands at cells with settings that their column does not name, or at the row where all its cells have it."""

SUBSTITUTE_TITLE = f"{SUBSTITUTE_MARK} Data"
MIXED_TITLE = "Bits of mixed schemes"
OTHER_TITLE = "Runs of one cell with other settings"
CHANGED_TITLE = f"{CHANGED_MARK} Changed settings"


def result_tables(layout: Layout, results: Results) -> Tables:
    """Returns all tables of a layout by title; those without rows are left out."""
    layout = layout.restricted_to(results).apart_by_metric(results)
    tables = {
        layout.title: overview(layout, results),
        MIXED_TITLE: mixed_precision(layout, results),
        OTHER_TITLE: other_settings(layout, results),
        "Chosen on validation": choices(layout, results),
        "Against our FP32": against_fp32(layout, results),
        "Against published figures": against_published(layout, results),
        "Paired over seeds": paired_differences(layout, results),
        "Integer program against evaluation of the trained model": exactness(layout, results),
        "Without an integer program": without_program(layout, results),
        **footnotes(layout.places, layout.changed, results),
    }
    return {title: without_empty_columns(rows) for title, rows in tables.items() if len(rows) > 1}


def overview(layout: Layout, results: Results) -> Rows:
    """A row per data set and network, a column per scheme, with the marks of substitutes and changed settings."""
    columns, changed = layout.columns, layout.changed
    rows = [["dataset/architecture", "metric", *columns]]
    for row, places in layout.rows.items():
        by_column = {place.column: place for place in places}
        found = [by_column.get(column) for column in columns]
        metric = score_of(results[places[0].name][0]).metric
        everywhere = changed.issuperset(places)
        texts = [summary(place, results, marked=place in changed and not everywhere) for place in found]
        rows.append([row_name(row, places, results, changed=everywhere), metric, *texts])
    return rows


def mixed_precision(layout: Layout, results: Results) -> Rows:
    """A row per cell whose sites do not all have the same bits, or others than the scheme: which have which.

    Where the first and the last part of a network, or its residual sums, have bits of their own, `weights` and
    `activations` are those of the trunk, and `exceptions` are from the bits of their part.
    """
    rows = [["cell", "weights", "activations", *ENDS, "exceptions"]]
    for name, cell in layout.cells.items():
        result = results[name][0]
        if (widths := result.get("bit_widths")) is None:
            continue
        parts = widths.get("parts", {})
        trunk = parts.get("trunk", widths)
        if parts.get("skip") == trunk:
            parts = {part: bits for part, bits in parts.items() if part != "skip"}
        if all_bits(widths) != {result.get("bits")}:
            usual = [bits_text(trunk[kind]) for kind in KINDS]
            ends = [part_text(parts[part]) if part in parts else "" for part in ENDS]
            rows.append([cell, *usual, *ends, exceptions_text(widths)])
    return rows


def part_text(widths: PartWidths) -> str:
    """Returns the bits of a part of a network: `INT8`, or those of weights and values where they differ."""
    weights, values = (bits_text(widths[kind]) for kind in KINDS)
    return weights if weights == values else f"weights {weights}, activations {values}"


def bits_text(bits: int) -> str:
    """Returns `INT8`, or `FP32`."""
    return "FP32" if bits == 32 else f"INT{bits}"


def exceptions_text(widths: BitWidths) -> str:
    """Returns the first sites with bits of their own, and how many more there are."""
    texts = [f"{name} {bits_text(bits)}" for name, bits in widths["exceptions"].items()]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def other_settings(layout: Layout, results: Results) -> Rows:
    """A row per name under which runs of one cell are told apart: the settings that are not the usual ones."""
    rows = [["cell", "settings", "one of its runs"]]
    for name, cell in layout.cells.items():
        if other := results[name][0].get("other_settings"):
            changed = other.get("changed", list(other["settings"]))
            text = ", ".join(f"{key}={other['settings'][key]}" for key in changed) or "the usual ones"
            rows.append([cell, text, other["folder"]])
    return rows


def choices(layout: Layout, results: Results) -> Rows:
    """A row per data set, network and choice: the column that is best on validation, and how it tests."""
    rows = [["dataset/architecture", "choice", "chosen", "of", "metric", "validation", "test", "- our FP32"]]
    for row, places in layout.rows.items():
        for choice, columns in layout.choose.items():
            candidates = {place.name: place for place in places if place.column in columns}
            if candidates:
                name = best_on_validation({name: results[name] for name in candidates})
                runs = results[name]
                score, validation = score_of(runs[0]), list(values_by_seed(runs, "val").values())
                rows.append([
                    row_name(row, places, results), choice, candidates[name].column, str(len(candidates)), score.metric,
                    score.summary(validation), summary(candidates[name], results),
                    difference(runs, layout.fp32_of(candidates[name]), results),
                ])  # fmt: skip
    return rows


def against_fp32(layout: Layout, results: Results) -> Rows:
    """A row per placement: ours, and how far it is from our FP32 over the seeds that both have.

    Where a row has FP32 in several columns, the last column names the one that is meant (`Layout.fp32_of`).
    """
    rows = [["cell", "metric", "seeds", "mean", "deviation", "- our FP32", "our FP32"]]
    for place in layout.places:
        runs = results[place.name]
        values, score = list(values_by_seed(runs).values()), score_of(runs[0])
        fp32 = layout.fp32_of(place)
        several = len(layout.fp32_of_row(place.row)) > 1
        rows.append([
            row_name(place.shown, [place], results), score.metric, str(len(values)),
            f"{mean(values):.{score.decimals}f}", score.deviation(values),
            difference(runs, fp32, results), fp32.column if fp32 and several else "",
        ])  # fmt: skip
    return rows


def against_published(layout: Layout, results: Results) -> Rows:
    """A row per verified figure of others: beside it ours, of the first placement of that scheme in the row.

    Theirs are accuracies, of the whole data set; the mark of substitutes says where ours is not.
    """
    published = published_figures()
    rows = [["cell", "metric", "ours", "published", "source"]]
    first: dict[str, Placement] = {}
    for place in layout.places:
        first.setdefault(f"{place.row}/{place.scheme}", place)
    for cell, place in first.items():
        metric = score_of(results[place.name][0]).metric
        if (figure := published.get(cell)) and metric == PUBLISHED_METRIC:
            name = row_name(place.shown, [place], results)
            rows.append([name, metric, summary(place, results), str(figure["value"]), figure["source"]])
    return rows


def published_figures() -> dict[str, dict[str, Any]]:
    """Returns the verified figures of others by the name of the cell: `value`, in the unit of tables, and `source`."""
    return read_yaml(CONFIGS / "published.yaml", "configs/published.yaml")


def paired_differences(layout: Layout, results: Results) -> Rows:
    """Differences over the seeds that both columns have, row by row and over all rows of a metric."""
    rows = [["dataset/architecture", "difference", "pairs", "mean", "95 % interval", "p (t)", "p (Wilcoxon)"]]
    pooled: dict[tuple[str, str, int], list[list[Pair]]] = defaultdict(list)
    for row, places in layout.rows.items():
        by_column = {place.column: results[place.name] for place in places}
        for one, other in layout.compare:
            pairs = pairs_of(by_column.get(one, ()), by_column.get(other, ()))
            if len(pairs) > 1:
                score, title = score_of(by_column[one][0]), f"{one} - {other}"
                rows.append([row, title, *paired_texts(paired_test(pairs), score.decimals + 1)])
                pooled[title, score.metric, score.decimals + 1].append(pairs)
    for (title, _, decimals), parts in pooled.items():
        if len(parts) > 1:
            pairs = [pair for part in parts for pair in part]
            rows.append([f"all {len(parts)} rows", title, *paired_texts(paired_test(pairs), decimals)])
    return rows


def paired_texts(test: PairedTest, decimals: int) -> list[str]:
    """Returns number of pairs, difference, interval and both p as texts; empty where the tests say nothing."""
    texts = [str(test.count), f"{test.difference:+.{decimals}f}"]
    if test.interval is None:
        return [*texts, "", "", ""]
    low, high = test.interval
    return [*texts, f"{low:+.{decimals}f} to {high:+.{decimals}f}", f"{test.student:.2g}", f"{test.wilcoxon:.2g}"]


def exactness(layout: Layout, results: Results) -> Rows:
    """Integer program against trained model, over the seeds of a cell."""
    rows = [["cell", "runs", *EXACTNESS]]
    for name, cell in layout.cells.items():
        exact = [result["exactness"] for result in one_a_seed(results[name]) if result["exactness"]]
        if exact:
            numbers = [f"{join(found[key] for found in exact):,}" for key, join in EXACTNESS.values()]
            rows.append([cell, str(len(exact)), *numbers])
    return rows


def without_program(layout: Layout, results: Results) -> Rows:
    """A row per cell and reason for which quantized runs of it have no integer program."""
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for name, cell in layout.cells.items():
        for result in one_a_seed(results[name]):
            if reason := result.get("no_program"):
                reasons[cell, reason] += 1
    return [["cell", "runs", "why"], *([cell, str(count), reason] for (cell, reason), count in reasons.items())]


def footnotes(placements: Iterable[Placement], changed: Collection[Placement], results: Results) -> Tables:
    """What the marks mean: which data is not the published original, and what the changed settings are."""
    substitutes = {
        (place.dataset, result["data"]["name"], result["data"]["substitute"])
        for place in placements
        for result in results[place.name]
        if substitute(result)
    }
    settings: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place in placements:
        if place in changed:
            settings[place.variant, " ".join(word.removeprefix("--") for word in place.settings)].append(place.row)
    return {
        SUBSTITUTE_TITLE: [["dataset", "name", "is not the published original"], *map(list, sorted(substitutes))],
        CHANGED_TITLE: [
            ["variant", "of", "settings"],
            *([variant, ", ".join(dict.fromkeys(rows)), text] for (variant, text), rows in settings.items()),
        ],
    }


def row_name(row: str, places: Iterable[Placement], results: Results, *, changed: bool = False) -> str:
    """Returns the name of a row with its marks."""
    substituted = any(substitute(result) for place in places for result in results[place.name])
    marks = [SUBSTITUTE_MARK] * substituted + [CHANGED_MARK] * changed
    return " ".join([row, *marks])


def summary(place: Placement | None, results: Results, *, marked: bool = False) -> str:
    """Returns `mean +- deviation (n)` of the test scores of a placement; `-` where nothing stands."""
    if place is None:
        return "-"
    runs = results[place.name]
    text = score_of(runs[0]).summary(list(values_by_seed(runs).values()))
    return f"{text} {CHANGED_MARK}" if marked else text


def difference(runs: Sequence[Result], reference: Placement | None, results: Results) -> str:
    """Returns the mean difference to a placement over the seeds that both have; nothing without any."""
    value = mean_difference(runs, results[reference.name] if reference else ())
    return "" if value is None else f"{value:+.{score_of(runs[0]).decimals}f}"


def substitute(result: Result) -> str:
    """Returns what is not the published original in the data of a run; empty where all is."""
    return result["data"]["substitute"] if "data" in result else ""
