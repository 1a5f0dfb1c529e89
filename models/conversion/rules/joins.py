"""What becomes of steps without parameters: sums, concatenations, maxima, pools."""

from __future__ import annotations

from typing import Any, Literal

from torch import fx

from models.conversion.conversion import Conversion, Form, Given, Rows
from models.conversion.errors import UnsupportedModel, place_of
from models.layers import Add, Concatenate, GraphPool, Maximum
from models.layers.joins import Pool


def added(c: Conversion, node: fx.Node, terms: list[Any], weights: list[float]) -> Rows:
    """The weighted sum of rows, each on a grid of its own."""
    rows = equally_wide(c, node, alike(c, node, [c.coded(c.rows(node, term)) for term in terms]))
    first = rows[0]
    signed = any(row.signed for row in rows) or min(weights) < 0
    role = "residual" if first.domain == "node" else "scores"
    result = Rows(
        node.name,
        Form.OPERATION,
        signed,
        first.domain,
        first.width,
        mask=latest(rows),
        role=role,  # type: ignore[arg-type]
    )
    return c.add_step(c.free_path(node.name), Add(*weights), rows, result)


def joined(c: Conversion, node: fx.Node, terms: Any, how: Literal["concatenate", "maximum"]) -> Rows:
    """Rows side by side, or the largest of them: each goes onto the grid of the result."""
    if not isinstance(terms, (list, tuple)):
        raise UnsupportedModel(f"{place_of(node)}: expected a list of rows")
    rows = alike(c, node, [c.settled(c.rows(node, term)) for term in terms])
    signed = any(row.signed for row in rows)
    rows = [c.coded(row) if row.form is Form.OPERATION else c.readable(row, signed=signed) for row in rows]
    widths = [row.width for row in rows]
    if how == "concatenate":
        width = None if None in widths else sum(width for width in widths if width is not None)
    else:
        width = equally_wide(c, node, rows)[0].width
    result = Rows(node.name, Form.OPERATION, signed, rows[0].domain, width, mask=latest(rows), role="joined")
    module = Concatenate() if how == "concatenate" else Maximum()
    return c.add_step(c.free_path(node.name), module, rows, result)


def pooled_rows(c: Conversion, node: fx.Node, pool: Pool) -> Rows:
    """One row for every graph."""
    _, *others = [c.value(argument) for argument in (*node.args, *node.kwargs.values())]
    for other in others:
        if other is not None and not (isinstance(other, Given) and other.role in ("batch", "num_graphs")):
            raise UnsupportedModel(f"{place_of(node)}: pools by something else than the network's batch")
    rows = c.rows(node, node.args[0])
    index = node.args[1] if len(node.args) > 1 else node.kwargs.get("batch", node.kwargs.get("index"))
    if index is None and c.is_batched:
        raise UnsupportedModel(f"{place_of(node)}: pools all graphs of a batch into one row; give it the batch")
    if rows.domain == "graph":
        raise UnsupportedModel(f"{place_of(node)}: pools rows of graphs")
    rows = c.settled(rows) if pool == "max" else c.coded(rows)
    if pool == "max" and rows.form is Form.OPERATION:
        rows = c.coded(rows)
    result = Rows(node.name, Form.OPERATION, rows.signed, "graph", rows.width, role="pooled")
    return c.add_step(c.free_path(node.name), GraphPool(pool), [rows], result, graphs=True)


def alike(c: Conversion, node: fx.Node, rows: list[Rows]) -> list[Rows]:
    """Returns the rows; raises UnsupportedModel unless all are of nodes or all of graphs."""
    if len({row.domain for row in rows}) > 1:
        raise UnsupportedModel(f"{place_of(node)}: combines rows of nodes with rows of graphs")
    return rows


def equally_wide(c: Conversion, node: fx.Node, rows: list[Rows]) -> list[Rows]:
    """Returns the rows; raises UnsupportedModel if torch would repeat the columns of some, which no program does."""
    known = (c.in_features if row.width is None and row.of_input else row.width for row in rows)
    widths = sorted({width for width in known if width is not None})
    if len(widths) > 1:
        raise UnsupportedModel(
            f"{place_of(node)}: combines rows of {' and '.join(map(str, widths))} columns; make them equally wide"
        )
    return rows


def latest(rows: list[Rows]) -> int | None:
    """The mask of the last convolution on the way of any of the rows."""
    return max((row.mask for row in rows if row.mask is not None), default=None)
