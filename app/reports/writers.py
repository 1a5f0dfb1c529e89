"""Tables as people read them: on the screen, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from app.cli.console import PAGE_WIDTH, standard_output
from app.cli.output import output_file
from app.engine.files import write_atomically
from app.reports.rows import Rows, Tables

FOLDED = 30
"""Rows that a table in a document may have before it is folded up."""


def print_tables(tables: Tables, console: Console) -> None:
    """On the screen."""
    for title, rows in tables.items():
        console.print(rich_table(title, rows))


def rich_table(title: str, rows: Rows) -> Table:
    """For the screen."""
    table = Table(title=title)
    for i, column in enumerate(rows[0]):
        table.add_column(column, no_wrap=i == 0, overflow="fold", justify="left" if i == 0 else "right")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(title: str, rows: Rows) -> str:
    """For a document; a long table is folded up."""
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    lines = [header, "|---" * len(rows[0]) + "|", *body, ""]
    if len(body) <= FOLDED:
        return "\n".join([f"**{title}**", "", *lines])
    return "\n".join([f"<details><summary>{title} ({len(body)} rows)</summary>", "", *lines, "</details>", ""])


def as_markdown(tables: Tables) -> str:
    """All tables, for a document."""
    return "\n".join(markdown(title, rows) for title, rows in tables.items())


def as_csv(tables: Tables) -> str:
    """All tables, each under a line with its title, an empty line between them."""
    parts = []
    for title, rows in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([[title], *rows])
        parts.append(text.getvalue())
    return "\n".join(parts)


def as_screen(tables: Tables) -> str:
    """All tables as on the screen, for a file."""
    text = io.StringIO()
    print_tables(tables, Console(file=text, width=PAGE_WIDTH))
    return text.getvalue()


Writers = Mapping[str, Callable[[Tables], str]]
"""What makes a text of tables, by the word for its form."""

WRITERS: Writers = {"table": as_screen, "markdown": as_markdown, "csv": as_csv}


def deliver(tables: Tables, form: str, output: str | None, writers: Writers = WRITERS) -> None:
    """In this form to the file `output`, or where there is none to the screen."""
    if output is not None:
        write_atomically(output_file(output), writers[form](tables))
    elif form == "table":
        print_tables(tables, standard_output())
    else:
        print(writers[form](tables), end="")
