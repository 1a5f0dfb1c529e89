"""Whole networks: a registry of plain classes."""

from models.architectures.base import Architecture
from models.architectures.gat import GAT
from models.architectures.gcn import GCN
from models.architectures.gin import GIN
from models.architectures.sage import GraphSAGE

ARCHITECTURES: dict[str, type[Architecture]] = {"gcn": GCN, "gat": GAT, "gin": GIN, "sage": GraphSAGE}

__all__ = ["ARCHITECTURES", "GAT", "GCN", "GIN", "Architecture", "GraphSAGE"]
