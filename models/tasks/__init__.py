"""LightningModules that train networks: one for each kind of task (classes or numbers, of nodes or graphs).

For app and the configs.
"""

from models.tasks.base import GraphTask
from models.tasks.devices import on_device
from models.tasks.graph_classification import GraphClassification
from models.tasks.graph_regression import GraphRegression
from models.tasks.node_classification import NodeClassification
from models.tasks.node_regression import NodeRegression

__all__ = ["GraphClassification", "GraphRegression", "GraphTask", "NodeClassification", "NodeRegression", "on_device"]
