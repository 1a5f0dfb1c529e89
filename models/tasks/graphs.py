"""Tasks about whole graphs, in batches."""

from __future__ import annotations

from typing import ClassVar

from models.tasks.base import GraphTask
from models.tasks.targets import TARGETS, Target


class GraphClassification(GraphTask):
    """Learns the class of each graph, batch.y [G]. For the arguments see `GraphTask`."""

    kind: ClassVar[str] = "graph_classification"
    target: ClassVar[Target] = TARGETS["classification"]


class GraphMultilabel(GraphTask):
    """Learns which of C labels each graph has, batch.y [G, C] of 1, 0, or NaN for unknown; see `GraphTask`."""

    kind: ClassVar[str] = "graph_multilabel"
    target: ClassVar[Target] = TARGETS["multilabel"]


class GraphRegression(GraphTask):
    """Learns a number for each graph, batch.y [G], or several, [G, C], some of them NaN; see `GraphTask`."""

    kind: ClassVar[str] = "graph_regression"
    target: ClassVar[Target] = TARGETS["regression"]
