"""The headline: FP32, Degree-Quant and the best at 8 and 4 bits of every network, beside published figures.

The best is chosen on validation, among the columns that a table names for it (`choose`), or among all of that width.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.reports.layout import Layout, Placement
from app.reports.results import Results, bits_of, score_of
from app.reports.rows import Tables, without_empty_columns
from app.reports.statistics import best_on_validation
from app.reports.tables import PUBLISHED_METRIC, footnotes, published_figures, row_name, summary

SCHEMES = {
    "FP32": "fp32",
    "QAT INT8": "qat_int8",
    "DQ INT8": "dq_int8",
    "QAT INT4": "qat_int4",
    "DQ INT4": "dq_int4",
}
"""Which scheme stands under which name."""

BEST = {"best INT8": 8, "best INT4": 4}
"""Choices of validation, as tables name them, and their bits."""

COLUMNS = ("FP32", "best INT8", "DQ INT8", "DQ INT4", "best INT4")
"""What the table shows, in this order; the picture shows QAT too."""

TITLE = "Headline: test results, mean +- deviation (seeds)"

LEFT_OUT = "Not in the headline, but in the tables below"


@dataclass(frozen=True)
class HeadlineRow:
    """A data set and network: what stands under each of the names in SCHEMES and BEST that it has."""

    row: str
    places: dict[str, Placement]


def headline_rows(layout: Layout, results: Results) -> list[HeadlineRow]:
    """Finds what stands in the headline for every row of a layout that has results."""
    found = []
    for row, places in layout.restricted_to(results).apart_by_metric(results).rows.items():
        named: dict[str, Placement] = {}
        for name, scheme in SCHEMES.items():
            if of_scheme := [place for place in places if place.scheme == scheme]:
                named[name] = of_scheme[0]  # plain cells stand before changed ones
        for name, bits in BEST.items():
            of_width = {place.name: place for place in places if bits_of(results[place.name][0]) == bits}
            chosen = {n: place for n, place in of_width.items() if place.column in layout.choose.get(name, ())}
            if candidates := chosen or of_width:
                named[name] = candidates[best_on_validation({name: results[name] for name in candidates})]
        found.append(HeadlineRow(row, named))
    return found


def headline_tables(layout: Layout, results: Results, title: str = TITLE) -> Tables:
    """Returns the headline table and what its marks mean; nothing where there are no results."""
    layout = layout.apart_by_metric(results)
    changed, rows = layout.changed, [["dataset/architecture", "metric", *COLUMNS, "published"]]
    shown: list[Placement] = []
    unnamed: set[Placement] = set()
    for found in headline_rows(layout, results):
        places = {column: found.places[column] for column in COLUMNS if column in found.places}
        if not places:
            continue
        marked = {column for column, place in places.items() if (place in changed if column in BEST else place.variant)}
        shown += places.values()
        unnamed |= {places[column] for column in marked}
        everywhere = all(place.variant for place in places.values())
        texts = [
            cell_text(column, places[column], results, marked=column in marked and not everywhere)
            if column in places
            else ""
            for column in COLUMNS
        ]
        name = row_name(found.row, places.values(), results, changed=everywhere)
        metric = score_of(results[next(iter(places.values())).name][0]).metric
        rows.append([name, metric, *texts, published_text(found.row) if metric == PUBLISHED_METRIC else ""])
    rows = [[cell or "-" for cell in row] for row in without_empty_columns(rows)] if len(rows) > 1 else rows
    tables = {title: rows, **footnotes(shown, unnamed, results)}
    return {title: without_empty_columns(rows) for title, rows in tables.items() if len(rows) > 1}


def left_out(layout: Layout, results: Results) -> Tables:
    """Returns the columns of a layout that the headline has no place for, with their rows; nothing if it has all."""
    layout = layout.apart_by_metric(results)
    shown = {row.places[name] for row in headline_rows(layout, results) for name in row.places.keys() & set(COLUMNS)}
    columns: dict[str, list[str]] = {}
    for place in layout.restricted_to(results).places:
        if place not in shown:
            columns.setdefault(place.column, []).append(place.row)
    rows = [["column", "of"], *([name, ", ".join(of)] for name, of in columns.items())]
    return {LEFT_OUT: rows} if columns else {}


def cell_text(column: str, place: Placement, results: Results, *, marked: bool) -> str:
    """Returns the scores of a cell, and of a choice also which column was chosen."""
    text = summary(place, results, marked=marked)
    return f"{text}, {place.column}" if column in BEST else text


def published_text(row: str) -> str:
    """Returns the published figures of the headline's schemes, each with its column."""
    published = published_figures()
    found = {column: published.get(f"{row}/{SCHEMES.get(column)}") for column in COLUMNS}
    return ", ".join(f"{column} {figure['value']}" for column, figure in found.items() if figure)
