"""The first and the last part of a network: which sites are in them, and that schemes give them bits of their own."""

from __future__ import annotations

import pytest
import torch_geometric.nn as pyg
from torch import nn

from models.architectures import ARCHITECTURES, GIN
from models.conversion.prepared import prepare
from models.layers import ReadoutConfig
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import QuantScheme, SiteOverride
from models.quantization.sites import bit_widths


def sites_in(network: nn.Module, part: str) -> set[str]:
    return {site.name for site in network.modules() if isinstance(site, Site) and site.part == part}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_of_a_network_for_nodes_they_are_what_it_reads_and_the_logits(architecture):
    network = ARCHITECTURES[architecture](7, 3)
    logits = {"convs.1.update"} | ({"convs.1.mlp.0.features"} if architecture == "gin" else set())
    assert sites_in(network, "first") == {"convs.0.inputs"}
    assert sites_in(network, "last") == logits


@pytest.mark.parametrize("every_layer", [False, True])
@pytest.mark.parametrize("embedding", ["linear", "categorical"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_of_a_network_for_graphs_they_are_embedding_and_readout(architecture, embedding, every_layer):
    readout = ReadoutConfig(hidden=[6], every_layer=every_layer)
    network = ARCHITECTURES[architecture](7, 3, layers=3, embedding=embedding, readout=readout)
    names = {site.name for site in network.modules() if isinstance(site, Site)}
    assert sites_in(network, "first") == {name for name in names if name.startswith("embedding.")}
    assert sites_in(network, "last") == {name for name in names if name.startswith("readout.")}
    assert sites_in(network, "trunk") == {name for name in names if name.startswith(("convs.", "transitions."))}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_residual_sums_may_have_bits_of_their_own(architecture):
    scheme = QuantScheme("mixed", 4, skip_bits=8)
    sizes = {"layers": 3, "embedding": "linear", "residual": True, "batch_norm": "before", "activation": "relu"}
    network = ARCHITECTURES[architecture](7, 3, scheme, readout=ReadoutConfig(), roundings="needed", **sizes)
    residual = {f"transitions.{i}.residual" for i in range(3)}
    assert sites_in(network, "skip") == residual
    sites = {site.name: site.bits for site in network.modules() if isinstance(site, Site)}
    assert {name for name, bits in sites.items() if bits == 8} == residual
    assert {"convs.1.inputs", "convs.2.inputs"} <= sites.keys(), "a convolution does not read 8 bits where it has 4"
    assert "convs.0.inputs" not in sites


def test_inner_layers_of_the_last_gin_are_not_the_last_part():
    assert sites_in(GIN(7, 3, mlp_layers=2), "last") == {"convs.1.mlp.1.features", "convs.1.update"}


class Prepared(nn.Module):
    """A GIN for graphs, as a user writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = pyg.GINConv(nn.Sequential(nn.Linear(7, 8), nn.ReLU(), nn.Linear(8, 8)))
        self.conv2 = pyg.GCNConv(8, 8)
        self.lin1, self.lin2 = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        x = self.conv2(self.conv1(x, edge_index).relu(), edge_index).relu()
        return self.lin2(self.lin1(pyg.global_add_pool(x, batch)).relu()).log_softmax(-1)


class ForNodes(nn.Module):
    """A network whose logits a convolution writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.conv = nn.Linear(7, 8), pyg.GINConv(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)))

    def forward(self, x, edge_index):
        return self.conv(self.lin(x).relu(), edge_index)


def test_of_a_prepared_network_they_are_what_reads_x_and_what_comes_behind_the_pool():
    network = prepare(Prepared(), QuantScheme())
    assert sites_in(network, "first") == {"conv1.inputs"}
    last = {f"{layer}.{role}" for layer in ("lin1", "lin2") for role in ("inputs", "weights", "features")}
    assert sites_in(network, "last") == last


def test_of_a_prepared_network_for_nodes_they_are_the_first_layer_and_the_logits():
    network = prepare(ForNodes(), QuantScheme())
    assert sites_in(network, "first") == {"lin.inputs", "lin.weights", "lin.features"}
    assert sites_in(network, "last") == {"conv.nn.2.features", "conv.update"}


def test_parts_have_the_bits_that_a_scheme_gives_them():
    rule = SiteOverride("readout.heads.0.0.features", bits=6)
    scheme = QuantScheme("mixed", 4, weight_bits=5, first_bits=8, last_bits=7, overrides=[rule])
    network = GIN(7, 3, scheme, embedding="linear", readout=ReadoutConfig(every_layer=True))
    assert bit_widths(network) == {
        "weights": 5,
        "activations": 4,
        "exceptions": {"readout.heads.0.0.features": 6},
        "parts": {
            "first": {"weights": 8, "activations": 8},
            "trunk": {"weights": 5, "activations": 4},
            "last": {"weights": 7, "activations": 7},
        },
    }


def test_a_part_without_weights_or_values_has_the_bits_of_what_it_has():
    network = GIN(7, 3, QuantScheme("mixed", 4, first_bits=8), embedding="categorical", readout=ReadoutConfig())
    assert bit_widths(network)["parts"]["first"] == {"weights": 8, "activations": 8}
