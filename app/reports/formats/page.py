"""The report as one HTML page: headline, plots and tables, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from app.reports.formats.writers import FOLDED
from app.reports.rows import Rows, Tables

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80em; margin: 2em auto; padding: 0 1em; color: #222 }
h2 { font-size: 1.15em; margin: 1.5em 0 .5em } summary { cursor: pointer; font-weight: 600; margin: 1em 0 }
table { border-collapse: collapse; display: block; overflow-x: auto; margin-bottom: 1em }
th, td { padding: .25em .6em; border-bottom: 1px solid #ddd; text-align: right; font-size: 13px; vertical-align: top }
td { white-space: nowrap } td.text { white-space: normal }
th:first-child, td:first-child, td.text { text-align: left }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34em), 1fr)); gap: 1em }
figure { margin: 0 0 1em } svg { max-width: 100%; height: auto }
"""


SHORT = 60
"""Characters that a cell may have before it is wrapped like text."""

MANY_PICTURES = 12
"""More pictures than that, the first aside, are folded up."""


def page(title: str, headline: Tables, tables: Tables, pictures: Mapping[str, str]) -> str:
    """Returns a page that starts with the headline and the pictures (SVG by name); long tables are folded up."""
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *(section(name, rows) for name, rows in headline.items()),
            gallery(pictures),
            *(section(name, rows) for name, rows in tables.items()),
            "</body></html>\n",
        ]
    )


def gallery(pictures: Mapping[str, str]) -> str:
    """Returns the first picture over the whole width and the others side by side below; nothing without any."""
    first, *others = [f'<figure id="{escape(name)}">{picture}</figure>' for name, picture in pictures.items()] or [""]
    if not others:
        return first
    state, side_by_side = "" if len(others) > MANY_PICTURES else " open", "\n".join(others)
    return (
        f"{first}\n<details{state}><summary>Plots ({len(others)})</summary>\n"
        f'<div class="plots">\n{side_by_side}\n</div>\n</details>'
    )


def section(title: str, rows: Rows) -> str:
    """Returns a table under its title, folded up where it is long."""
    if len(rows) - 1 <= FOLDED:
        return f"<h2>{escape(title)}</h2>\n{table(rows)}"
    return f"<details><summary>{escape(title)} ({len(rows) - 1} rows)</summary>\n{table(rows)}\n</details>"


def table(rows: Rows) -> str:
    """Returns a table, its first row as header."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(map(table_cell, row)) + "</tr>" for row in rows[1:])
    return f"<table>\n<tr>{header}</tr>\n{body}\n</table>"


def table_cell(text: str) -> str:
    """Returns a cell: a score stays on one line, with what follows it on the next; long text is wrapped."""
    if len(text) > SHORT:
        return f'<td class="text">{escape(text)}</td>'
    return "<td>" + escape(text).replace("), ", ")<br>") + "</td>"
