"""Empty axes, and pictures as SVG and PNG."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.figure import Figure


def labelled_axes(title: str, x: str, y: str) -> Figure:
    """Returns a figure of one pair of axes with their names."""
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure


def svg(figure: Figure) -> str:
    """Returns the picture as SVG that can stand in a page; the same bytes for the same picture."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "degree-quant", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    _, start, picture = text.getvalue().partition("<svg")  # without the XML head
    return start + picture


def png(figure: Figure) -> bytes:
    """Returns the picture as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight")
    return content.getvalue()
