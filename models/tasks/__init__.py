"""LightningModules: what is learned from a graph."""

from models.tasks.base import GraphTask
from models.tasks.node_classification import NodeClassification

__all__ = ["GraphTask", "NodeClassification"]
