"""Shared by all tests: one thread, a fixed seed, random graphs and features."""

from __future__ import annotations

import gc
import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels of a GPU run slowly on the CPU; it counts when triton is imported
from torch_geometric.nn import SAGEConv

from models.quantization.qconfig import NoiseConfig, ObserverConfig, ProtectionConfig, QuantScheme, SiteOverride

torch.set_num_threads(1)

SAGEConv(1, 1)
"""PyG writes the code of a class for its first instance: one that takes maxima would leave all others of this process
without products by sparse matrices."""

CURRENT = ObserverConfig("minmax", "momentum", momentum=1.0)
"""The range of the current tensor."""


def pytest_xdist_auto_num_workers() -> int:
    """A worker a core, up to four: each takes a gigabyte and more, and many tests start processes themselves."""
    return min(os.cpu_count() or 1, 4)


def pytest_collection_finish():
    """Takes what was imported and collected, which stays, out of the many searches for garbage that follow."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build_scheme(name: str, bits: int = 8, **changes) -> QuantScheme:
    """The scheme called so as the configs have it, except for `changes`; `columns` has a scale a column of weights."""
    parts = {
        "fp32": {"bits": 32},
        "qat": {},
        "lsq": {"observer": ObserverConfig("percentile", "learned")},
        "ends8": {"first_bits": 8, "last_bits": 8, "observer": ObserverConfig("percentile")},
        "symmetric": {"symmetric": True},
        "power_of_two": {"power_of_two": True},
        "columns": {"observer": ObserverConfig("percentile"), "weight_scales": "column"},
        "nqat": {"noise": NoiseConfig(0.5, "all")},
        "dq": {
            "observer": ObserverConfig("percentile"),
            "protection": ProtectionConfig(0.0, 0.1),
            "overrides": [SiteOverride("*.weights", observer=CURRENT), SiteOverride("*.attention", observer=CURRENT)],
        },
    }
    return QuantScheme(**{"name": name, "bits": bits, **parts[name], **changes})


@pytest.fixture(scope="session")
def make_scheme():
    """make_scheme("dq", 4, gradient="ste", ...)."""
    return build_scheme


@pytest.fixture(scope="session")
def random_edges():
    """random_edges(num_nodes, num_edges) -> [2, E] with self-loops, multi-edges and isolated nodes."""

    def draw(num_nodes: int, num_edges: int) -> torch.Tensor:
        connected = max(num_nodes * 4 // 5, 1)
        edges = torch.randint(connected, (2, num_edges))
        edges[:, : num_edges // 10] = edges[:1, : num_edges // 10]
        third = num_edges // 3
        edges[:, third : third + num_edges // 10] = edges[:, num_edges // 2 : num_edges // 2 + num_edges // 10]
        return edges

    return draw


@pytest.fixture(scope="session")
def bag_of_words():
    """bag_of_words(num_nodes, num_features, density) -> dense [N, F], mostly zeros, one row empty."""

    def draw(num_nodes: int, num_features: int, density: float = 0.05) -> torch.Tensor:
        x = torch.randn(num_nodes, num_features) * (torch.rand(num_nodes, num_features) < density)
        x[num_nodes // 2] = 0.0
        return x

    return draw


@pytest.fixture(scope="session")
def device():
    """The engine's device for tests of kernels: a GPU where there is one, else Triton's interpreter."""
    pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    return "cuda" if torch.cuda.is_available() else "interpreter"
