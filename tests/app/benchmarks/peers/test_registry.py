"""What a new network needs beside its class: a list by name of what is missing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest
from torch import nn

from app.benchmarks.peers import registry
from app.benchmarks.peers.convolution import WIDTH, ConvolutionPeers
from app.benchmarks.peers.float_ops import FloatOps
from app.benchmarks.peers.stock import stock_twin
from app.config.cells import available, families
from models.architectures import ARCHITECTURES, GAT, Architecture
from models.quantization.qconfig import QuantScheme

FAMILIES = [family for family in families() if "gcn" in available("architecture", family)]
"""Those that compare networks; the paper trains REDDIT-BINARY with a GIN alone."""


def computes(make: Callable[..., object], *arguments: object) -> bool:
    """Whether a counterpart can be made."""
    try:
        return make(*arguments) is not None
    except (KeyError, NotImplementedError, AttributeError):
        return False


def missing(name: str) -> Iterator[str]:
    """What the network of a name in ARCHITECTURES lacks."""
    cls = ARCHITECTURES[name]
    for family in FAMILIES:
        if name not in available("architecture", family):
            yield f"configs/architecture/{family}/{name}.yaml"
    sizes = [word for word, parameter in inspect.signature(cls).parameters.items() if parameter.annotation == "int"]
    own = set(sizes) - inspect.signature(Architecture).parameters.keys()
    if own and "details" not in vars(cls):
        yield f"{cls.__name__}.details, for {', '.join(own)}"
    peers = registry.CONVOLUTIONS.get(name)
    if peers is None:
        yield "an entry in CONVOLUTIONS of app/benchmarks/peers/registry.py"
        return
    yield from missing_peers(peers, cls)


def missing_peers(peers: ConvolutionPeers, cls: type[Architecture]) -> Iterator[str]:
    """What the entry of a network in the registry lacks."""
    networks = [make(QuantScheme("benchmark", 8)) for make in peers.networks.values()]
    if not networks:
        yield "a benchmark network"
    for network in networks:
        convs = list(network.convs)
        if type(network) is not cls or (network.in_features, network.width, network.out_features) != (WIDTH,) * 3:
            yield f"a benchmark network that is a {cls.__name__} of {WIDTH} features throughout"
        if any(type(conv) is not peers.layer for conv in convs):
            yield f"the layer of its network in place of {peers.layer.__name__}"
        elif not all(computes(peers.stock, conv) for conv in convs):
            yield "a stock twin"
        elif not all(computes(peers.fused, conv, FloatOps()) for conv in convs):
            yield "a fused FP32 form"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_missing_for_a_network(name):
    assert list(missing(name)) == []


def test_the_registry_names_networks_that_exist():
    assert registry.CONVOLUTIONS.keys() == ARCHITECTURES.keys()
    assert len(registry.BY_LAYER) == len(registry.CONVOLUTIONS)
    assert len(registry.NETWORKS) == sum(len(peers.networks) for peers in registry.CONVOLUTIONS.values())


def test_what_a_new_network_lacks_is_named(monkeypatch):
    class Fresh(GAT):
        """A network of which nothing else knows."""

        def __init__(self, in_features: int, out_features: int, samples: int = 25) -> None:
            super().__init__(in_features, out_features)

    monkeypatch.setitem(ARCHITECTURES, "fresh", Fresh)
    assert list(missing("fresh")) == [
        *(f"configs/architecture/{family}/fresh.yaml" for family in FAMILIES),
        "Fresh.details, for samples",
        "an entry in CONVOLUTIONS of app/benchmarks/peers/registry.py",
    ]


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"networks": {}}, ["a benchmark network"]),
        ({"stock": stock_twin}, ["a stock twin"]),
        ({"fused": lambda conv, ops: None}, ["a fused FP32 form"]),
        ({"layer": nn.Linear}, ["the layer of its network in place of Linear"]),
        ({"networks": {"gat": lambda scheme: GAT(9, 9, scheme)}},
         ["a benchmark network that is a GAT of 128 features throughout"]),
    ],
)  # fmt: skip
def test_what_an_entry_lacks_is_named(changes, lacking):
    entry = ConvolutionPeers(**vars(registry.CONVOLUTIONS["gat"]) | changes)
    assert list(missing_peers(entry, GAT))[: len(lacking)] == lacking


def test_only_attention_cannot_run_on_csr_and_only_gcn_is_nothing_but_matrix_products():
    assert [name for name, peers in registry.BY_NETWORK.items() if not peers.on_csr] == ["gat"]
    assert [name for name, peers in registry.BY_NETWORK.items() if peers.matrix_products] == ["gcn", "gcn_factored"]
