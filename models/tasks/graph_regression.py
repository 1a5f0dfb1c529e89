"""Regression of whole graphs, in batches."""

from __future__ import annotations

from typing import ClassVar

from models.tasks.regression import Regression


class GraphRegression(Regression):
    """Learns a number (or several) for each graph. For the arguments see `GraphTask`.

    Shapes:
        batch.y [G] or [G, C], the targets; see also `GraphTask`.
    """

    kind: ClassVar[str] = "graph_regression"
