"""Networks by their name: found from the working directory, built with the widths of the data, tied to their code."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from models.architectures import GCN
from models.tasks import NodeClassification, named

SOURCE = """
from functools import partial
from torch import nn
from torch_geometric.nn import GCNConv

class Net(nn.Module):
    def __init__(self, num_features, num_classes, hidden=4):
        super().__init__()
        self.conv = GCNConv(num_features, hidden)
        self.lin = nn.Linear(hidden, num_classes)

    def forward(self, x, edge_index):
        return self.lin(self.conv(x, edge_index).relu())

def deep(in_dim, output_dim):
    return Net(in_dim, output_dim, hidden=9)

def kipf(nfeat, nclass):
    return Net(nfeat, nclass, hidden=2)

def failing(in_channels):
    raise KeyError("depth")

number = 3

instance = Net(5, 3)

wide = partial(Net, hidden=8)

def nothing():
    return 3
"""


@pytest.fixture
def name(tmp_path, monkeypatch):
    """The name of a module of one's own in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = f"nets_{abs(hash(tmp_path))}"  # modules stay loaded
    (tmp_path / f"{module}.py").write_text(SOURCE)
    return module


@pytest.mark.parametrize(
    ("attribute", "args", "hidden"), [("Net", {}, 4), ("Net", {"hidden": 6}, 6), ("deep", {}, 9), ("kipf", {}, 2)]
)
def test_widths_of_the_data_go_to_arguments_of_usual_names(name, attribute, args, hidden):
    network = named.build(f"{name}:{attribute}", args, 5, 3)
    assert isinstance(network, nn.Module)
    assert (network.conv.in_channels, network.conv.out_channels, network.lin.out_features) == (5, hidden, 3)


@pytest.mark.parametrize(
    ("wrong", "args", "sentence"),
    [
        ("nets", {}, r"model.network: expected package.module:Name, no path of a file, got 'nets'"),
        ("nets.py:Net", {}, r"model.network: expected package.module:Name, no path of a file, got 'nets.py:Net'"),
        ("{}:instance", {}, r"model.network: .*:instance is a network already; name the class or function that makes"),
        ("models:Net", {}, r"model.network: models \(.*__init__.py\) has no Net; there are no networks"),
        ("nots:Net", {}, r"model.network: there is no module nots in .*, on PYTHONPATH or among the packages of "),
        ("{}:Nett", {}, r"model.network: .* has no Nett; there are Net$"),
        ("{}:number", {}, r"model.network: .* has no number; there are Net$"),
        ("{}:nothing", {}, r"model.network: .*:nothing makes a int, no torch.nn.Module"),
        (
            "{}:failing",
            {},
            r"model.network: .*:failing cannot be made; nets_\d+.py:\d+ \(raise .*\) ends in KeyError: 'depth'",
        ),
        ("{}:Net", {"hiden": 3}, r"model.network_args: .*:Net takes \(num_features, num_classes, hidden\): .*'hiden'"),
    ],
)
def test_what_is_wrong_is_told(name, wrong, args, sentence):
    with pytest.raises(ValueError, match=sentence):
        named.build(wrong.format(name), args, 5, 3)


def test_a_task_takes_a_network_by_name_instead_of_an_architecture(name):
    task = NodeClassification(None, 5, 3, network=f"{name}:Net", network_args={"hidden": 7})
    assert task.network(torch.randn(4, 5), torch.tensor([[0], [1]])).shape == (4, 3)
    assert task.network.make_original().conv.out_channels == 7


def test_a_partial_function_belongs_to_the_file_of_its_function(name):
    assert named.source_of(f"{name}:wide") == named.source_of(f"{name}:Net")
    assert named.build(f"{name}:wide", {}, 5, 3).conv.out_channels == 8


def test_a_file_that_ends_the_process_is_told(tmp_path, name):
    (tmp_path / f"ends_{name}.py").write_text("import sys\n\nsys.exit(2)\n")
    with pytest.raises(
        ValueError, match=r"model.network: ends_.* ends the process while imported; put what it runs below"
    ):
        named.load(f"ends_{name}:Net")


def test_a_network_whose_file_has_changed_is_refused(name, tmp_path):
    source = named.source_of(f"{name}:Net")
    NodeClassification(None, 5, 3, network=f"{name}:Net", network_source=source)
    with (tmp_path / f"{name}.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(
        ValueError, match=r"model.network: the file of .*:Net, or one .*, has changed since this run began"
    ):
        NodeClassification(None, 5, 3, network=f"{name}:Net", network_source=source)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "model: give an architecture, or a network of your own by model.network"),
        ({"network_args": {"hidden": 3}}, "model.network_args: has no effect without model.network"),
    ],
)
def test_a_setting_without_effect_is_refused(settings, sentence):
    architecture = (lambda *_: nn.Identity()) if settings else None
    with pytest.raises(ValueError, match=sentence):
        NodeClassification(architecture, 5, 3, **settings)


@pytest.mark.parametrize(("weights", "reads"), [(None, False), (True, True), (False, False)])
def test_weights_that_a_forward_takes_with_a_default_are_read_where_the_setting_says_so(weights, reads):
    args = {"hidden_channels": 4, "num_layers": 2}
    task = NodeClassification(None, 5, 3, network="torch_geometric.nn:GCN", network_args=args, network_weights=weights)
    assert task.network.reads_edge_weights == reads


def test_the_setting_of_weights_needs_a_network():
    with pytest.raises(ValueError, match=r"model\.network_weights: has no effect without model\.network"):
        NodeClassification(GCN, 5, 3, network_weights=True)
