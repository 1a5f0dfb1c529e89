"""LightningModules that train networks: one for each kind of target (a class, labels, numbers) of nodes or graphs.

For app and the configs.
"""

from models.tasks.base import GraphTask
from models.tasks.devices import on_device
from models.tasks.graphs import GraphClassification, GraphMultilabel, GraphRegression
from models.tasks.nodes import NodeClassification, NodeMultilabel, NodeRegression

TASKS = (
    NodeClassification,
    NodeMultilabel,
    NodeRegression,
    GraphClassification,
    GraphMultilabel,
    GraphRegression,
)
"""The classes that a config may name."""

__all__ = [
    "TASKS",
    "GraphClassification",
    "GraphMultilabel",
    "GraphRegression",
    "GraphTask",
    "NodeClassification",
    "NodeMultilabel",
    "NodeRegression",
    "on_device",
]
