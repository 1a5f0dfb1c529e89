"""Writes tables for people: on the screen, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from app.cli.console import PAGE_WIDTH, plain_console, standard_output
from app.cli.output import output_file
from app.engine.files import write_atomically
from app.reports.rows import Rows, Tables

FOLDED = 30
"""Rows that a table in a document or page may have before it is folded up."""


def print_tables(tables: Tables, console: Console) -> None:
    """Prints tables on the screen."""
    for title, rows in tables.items():
        console.print(rich_table(title, rows))


def rich_table(title: str, rows: Rows) -> Table:
    """Returns a table for the screen."""
    table = Table(title=title)
    for i, column in enumerate(rows[0]):
        table.add_column(column, no_wrap=i == 0, overflow="fold", justify="left" if i == 0 else "right")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(title: str, rows: Rows) -> str:
    """Returns a table for a document; a long one is folded up."""
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    lines = [header, "|---" * len(rows[0]) + "|", *body, ""]
    if len(body) <= FOLDED:
        return "\n".join([f"**{title}**", "", *lines])
    return "\n".join([f"<details><summary>{title} ({len(body)} rows)</summary>", "", *lines, "</details>", ""])


def as_markdown(tables: Tables) -> str:
    """Returns all tables for a document."""
    return "\n".join(markdown(title, rows) for title, rows in tables.items())


def as_csv(tables: Tables) -> str:
    """Returns the only table as CSV, its header in the first line."""
    (rows,) = tables.values()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_screen(tables: Tables) -> str:
    """Returns all tables as on the screen, for a file."""
    text = io.StringIO()
    print_tables(tables, plain_console(file=text, width=PAGE_WIDTH))
    return text.getvalue()


Writers = Mapping[str, Callable[[Tables], str]]
"""Functions that turn tables into text, by the name of the format."""

WRITERS: Writers = {"table": as_screen, "markdown": as_markdown, "csv": as_csv}


def deliver(tables: Tables, format_name: str, output: str | None, writers: Writers = WRITERS) -> None:
    """Writes tables in a format to the file `output`, or prints them where there is none."""
    if output is not None:
        write_atomically(output_file(output), writers[format_name](tables))
    elif format_name == "table":
        print_tables(tables, standard_output())
    else:
        print(writers[format_name](tables), end="")
