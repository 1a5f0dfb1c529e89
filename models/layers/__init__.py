"""Graph layers: each once for all schemes, with `forward` and, under it, `lower`."""

from models.layers.activation import Activation
from models.layers.convs.gat_conv import GATConv
from models.layers.convs.gcn_conv import GCNConv
from models.layers.convs.gin_conv import GINConv
from models.layers.convs.sage_conv import SAGEConv
from models.layers.embedding import Embedding
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.layers.mlp import MLP
from models.layers.norm import BatchNorm
from models.layers.readout import Readout, ReadoutConfig
from models.layers.transition import Transition

__all__ = [
    "MLP",
    "Activation",
    "BatchNorm",
    "Embedding",
    "GATConv",
    "GCNConv",
    "GINConv",
    "Graph",
    "QuantLinear",
    "Readout",
    "ReadoutConfig",
    "SAGEConv",
    "Transition",
]
