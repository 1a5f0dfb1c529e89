from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def planetoid_root() -> Path:
    """The folder of the real Cora and Citeseer, or a skip."""
    root = Path(os.environ.get("DEGREE_QUANT_DATA") or PROJECT.parent / "shared" / "data") / "planetoid"
    if not root.is_dir():
        pytest.skip(f"no real data: set DEGREE_QUANT_DATA ({root.name}/ is not in the folder looked at)")
    return root


@pytest.fixture
def small_graph() -> Data:
    """Six nodes: edges in no order, a self-loop, an empty row of features, ties in degree."""
    dense = torch.tensor([[1, 0, 1], [0, 2, 0], [0, 0, 0], [3, 4, 5], [0, 0, 1], [1, 1, 0]]).float()
    edges = torch.tensor([[3, 0, 5, 1, 2, 4, 1, 0], [0, 3, 0, 0, 1, 4, 2, 1]])
    return Data(x=dense.to_sparse_csr(), edge_index=edges, edge_attr=torch.arange(8))
