"""The figures of `benchmark scale` as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.runs.timing import processor


def title_of(result: Mapping[str, Any]) -> str:
    """The sizes of a graph, in words."""
    sizes = f"{result['nodes']:,} nodes, {result['edges']:,} edges, {result['features']} features"
    return f"{sizes}, {result['parts']} parts"


def figures_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Seconds, seconds of a core and megabytes; dashes where memory did not suffice."""
    if row["bytes"] is None:
        return "-", "-", "-"
    return f"{row['seconds']:.2f}", f"{row['core_seconds']:.2f}", f"{row['bytes'] / 1e6:,.0f}"


def page_of(results: Sequence[Mapping[str, Any]], command: str, threads: int) -> str:
    """The figures as a page, with the command that made it: a table for every cell, a column for every graph."""
    cells = list(dict.fromkeys(result["cell"] for result in results))
    tables = "\n\n".join(table_of([r for r in results if r["cell"] == cell]) for cell in cells)
    return f"""# Time and memory of one large graph

[Results](../RESULTS.md) · [accuracy](scale.md) · written by

```
python train.py benchmark scale {command} --page docs/results/scale_cost.md
```

Seconds that a core worked, and megabytes at the peak beyond features and edges, without pages of files. Features are
dense. Of two calls the second is timed, with the graph prepared by the first. Memory is of both; -: it did not suffice.
{processor()}, {threads} thread(s).

{tables}
"""


def table_of(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures of one cell on every graph."""
    names = list(dict.fromkeys(row["name"] for result in results for row in result["rows"]))
    headings = [f"{r['nodes']:,} nodes, {r['edges']:,} edges, {r['parts']} parts" for r in results]
    rows = [[results[0]["cell"], *headings], ["---", *("---:" for _ in results)]]
    for name in names:
        found = [next((row for row in result["rows"] if row["name"] == name), None) for result in results]
        rows.append([name, *(field(row) if row else "" for row in found)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def field(row: Mapping[str, Any]) -> str:
    """Seconds of a core, and megabytes."""
    _, seconds, megabytes = figures_of(row)
    return "-" if row["bytes"] is None else f"{seconds} s, {megabytes} MB"
