"""Classification of the nodes of one graph, as a full batch."""

from __future__ import annotations

from typing import ClassVar

from models.tasks.classification import Classification
from models.tasks.nodes import OnNodes


class NodeClassification(OnNodes, Classification):
    """Learns the class of each node. For the arguments see `GraphTask`.

    Shapes:
        batch.y [N], the classes, and batch.{train,val,test}_mask [N] bool, the nodes of a stage; see also `GraphTask`.
    """

    kind: ClassVar[str] = "node_classification"
