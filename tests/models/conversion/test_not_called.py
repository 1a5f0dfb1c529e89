"""Layers that a forward never calls are left out, and said to be."""

from __future__ import annotations

import sys
import warnings

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, GCNConv

from models import prepare
from models.tasks import NodeClassification


class Forgetful(nn.Module):
    """Calls one of its layers and reads a parameter; without weights, nothing is missed."""

    def __init__(self, in_channels=5, out_channels=3):
        super().__init__()
        self.conv, self.extra = GCNConv(in_channels, out_channels), nn.Linear(2, 2)
        self.head = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        self.norms = nn.ModuleList([nn.BatchNorm1d(out_channels), nn.BatchNorm1d(out_channels)])
        self.shifted, self.dropout, self.act = nn.Linear(3, 3), nn.Dropout(), nn.ReLU()

    def forward(self, x, edge_index):
        return self.norms[0](self.conv(x, edge_index)) @ self.shifted.weight


TOLD = "left out, as the forward of Forgetful never calls it: extra, head, norms.1"


@pytest.mark.filterwarnings("ignore:left in FP32")
def test_they_are_named_with_the_outermost_module_that_holds_no_other():
    with pytest.warns(UserWarning, match=f"^{TOLD}$") as told:
        prepared = prepare(Forgetful(), "qat_int8", strict=False)
    assert prepared.not_called == ("extra", "head", "norms.1")
    assert {warning.filename for warning in told} == {__file__}
    assert not any("head" in name for name, _ in prepared.named_parameters())


def test_a_network_of_which_all_is_called_has_no_remark():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        prepare(GCN(5, 8, 2, 3, norm="batch_norm", jk="cat"), "qat_int8")


def test_the_command_line_says_so_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "forgets.py").write_text(
        "from torch import nn\nfrom torch_geometric.nn import GCNConv\n\nclass Net(nn.Module):\n"
        "    def __init__(self, in_channels, out_channels):\n        super().__init__()\n"
        "        self.a, self.b = GCNConv(in_channels, out_channels), nn.Linear(2, 2)\n\n"
        "    def forward(self, x, edge_index):\n        return self.a(x, edge_index)\n"
    )
    with pytest.warns(UserWarning, match="^left out, as the forward of Net never calls it: b$"):
        task = NodeClassification(None, 5, 3, network="forgets:Net")
    assert task.network(torch.randn(4, 5), torch.tensor([[0], [1]])).shape == (4, 3)
