"""LightningModules: what is learned from a graph."""

from models.tasks.base import GraphTask
from models.tasks.graph_classification import GraphClassification
from models.tasks.graph_regression import GraphRegression
from models.tasks.node_classification import NodeClassification

__all__ = ["GraphClassification", "GraphRegression", "GraphTask", "NodeClassification"]
