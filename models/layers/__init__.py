"""Graph layers: each once for all schemes, with `forward` and, under it, `lower`."""

from models.layers.activation import Activation
from models.layers.blocks.mlp import MLP
from models.layers.blocks.readout import Readout, ReadoutConfig
from models.layers.blocks.transition import Transition
from models.layers.convs.gat_conv import GATConv, GATv2Conv
from models.layers.convs.gcn_conv import GCNConv
from models.layers.convs.gin_conv import GINConv
from models.layers.convs.sage_conv import SAGEConv
from models.layers.convs.weighted_conv import WeightedConv
from models.layers.embedding import Embedding
from models.layers.graph import Graph
from models.layers.joins import Add, Concatenate, Dropout, GraphPool, Maximum
from models.layers.linear import QuantLinear
from models.layers.norm import BatchNorm, Normalize

__all__ = [
    "MLP",
    "Activation",
    "Add",
    "BatchNorm",
    "Concatenate",
    "Dropout",
    "Embedding",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "Graph",
    "GraphPool",
    "Maximum",
    "Normalize",
    "QuantLinear",
    "Readout",
    "ReadoutConfig",
    "SAGEConv",
    "Transition",
    "WeightedConv",
]
