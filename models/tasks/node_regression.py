"""Regression of the nodes of one graph, as a full batch."""

from __future__ import annotations

from typing import ClassVar

from models.tasks.nodes import OnNodes
from models.tasks.regression import Regression


class NodeRegression(OnNodes, Regression):
    """Learns a number for each node. For the arguments see `GraphTask`.

    Shapes:
        batch.y [N], the targets, and batch.{train,val,test}_mask [N] bool, the nodes of a stage; see also `GraphTask`.
    """

    kind: ClassVar[str] = "node_regression"
