"""Classes of whole graphs, in batches."""

from __future__ import annotations

from models.tasks.classification import Classification


class GraphClassification(Classification):
    """Cross-entropy and accuracy of graphs. Settings: those of GraphTask.

    Shapes:
        batch.y [G] beside those of GraphTask.
    """
