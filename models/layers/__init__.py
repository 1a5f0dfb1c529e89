"""Graph layers: each once for all schemes, with `forward` and, under it, `lower`."""

from models.layers.gat_conv import GATConv
from models.layers.gcn_conv import GCNConv
from models.layers.gin_conv import GINConv
from models.layers.graph import Graph
from models.layers.linear import QuantLinear

__all__ = ["GATConv", "GCNConv", "GINConv", "Graph", "QuantLinear"]
