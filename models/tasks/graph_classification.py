"""Classification of whole graphs, in batches."""

from __future__ import annotations

from typing import ClassVar

from models.tasks.classification import Classification


class GraphClassification(Classification):
    """Learns the class of each graph. For the arguments see `GraphTask`.

    Shapes:
        batch.y [G], the classes; see also `GraphTask`.
    """

    kind: ClassVar[str] = "graph_classification"
