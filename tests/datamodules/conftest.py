from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from datamodules import base
from datamodules.batched import BatchedDataModule, Split
from datamodules.raw.images import published
from datamodules.storage import GraphStore

PROJECT = Path(__file__).resolve().parents[2]


def real_data(folder: str) -> Path:
    """A folder of real raw data, or a skip."""
    root = Path(os.environ.get("DEGREE_QUANT_DATA") or PROJECT.parent / "shared" / "data") / folder
    if not root.is_dir():
        pytest.skip(f"no real data: set DEGREE_QUANT_DATA ({folder}/ is not in the folder looked at)")
    return root


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch) -> None:
    """No remark was made before a test."""
    monkeypatch.setattr(base, "SAID", set())


@pytest.fixture(scope="session")
def planetoid_root() -> Path:
    """The folder of the real Cora and Citeseer."""
    return real_data("planetoid")


@pytest.fixture(scope="session")
def tudataset_root() -> Path:
    """The folder of the real REDDIT-BINARY."""
    return real_data("tudataset")


@pytest.fixture(scope="session")
def zinc_root() -> Path:
    """The folder of the real ZINC."""
    return real_data("zinc")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder of the real MNIST."""
    return real_data("mnist")


@pytest.fixture
def draw_images() -> Callable[..., np.ndarray]:
    """draw_images(count, height, width, ...): images of coloured blocks, so that segments differ."""
    return coloured_blocks


@pytest.fixture
def mnist(tmp_path, monkeypatch) -> Path:
    """A folder with the files of MNIST, but 10 images to train on and 4 to test on."""
    monkeypatch.setattr(published, "MNIST_FILES", write_mnist(tmp_path / "mnist" / "raw", 10, 4))
    return tmp_path / "mnist"


@pytest.fixture
def tu_files() -> dict[str, str]:
    """Contents of the files of a TUDataset, by part: 30 graphs, 120 nodes, 150 edges."""
    return tudataset_files()


@pytest.fixture
def write_tu(tu_files, tmp_path) -> Callable[..., Path]:
    """write_tu("A", ..., graph_labels="...") writes files of `tu_files` and others, and returns the root."""

    def write(*parts: str, name: str = "TOY", **changed: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for part, content in {**{part: tu_files[part] for part in parts}, **changed}.items():
            (folder / f"{name}_{part}.txt").write_text(content)
        return tmp_path

    return write


@pytest.fixture
def toy() -> type[BatchedDataModule]:
    """A small data set of many graphs: `toy(count, **arguments)`, with its graphs in `graphs`."""
    return ToyGraphs


@pytest.fixture
def random_graphs() -> Callable[..., list[Data]]:
    """random_graphs(count): sizes, repeated edges, self-loops and graphs without edges, as in real data."""
    return draw_graphs


@pytest.fixture
def small_graph() -> Data:
    """Six nodes: edges in no order, a self-loop, an empty row of features, ties in degree."""
    dense = torch.tensor([[1, 0, 1], [0, 2, 0], [0, 0, 0], [3, 4, 5], [0, 0, 1], [1, 1, 0]]).float()
    edges = torch.tensor([[3, 0, 5, 1, 2, 4, 1, 0], [0, 3, 0, 0, 1, 4, 2, 1]])
    return Data(x=dense.to_sparse_csr(), edge_index=edges, edge_attr=torch.arange(8))


def lines(rows) -> str:
    return "".join(f"{row}\n" for row in rows)


def tudataset_files() -> dict[str, str]:
    """30 graphs: a path of 2 to 6 nodes in both directions, every seventh without edges; labels -1 and 1."""
    indicator, edges, first = [], [], 1
    for graph in range(30):
        nodes = 2 + graph % 5
        indicator += [graph + 1] * nodes
        if graph % 7:
            path = [(k, k + 1) for k in range(first, first + nodes - 1)]
            edges += path + [(b, a) for a, b in path]
        first += nodes
    return {
        "A": lines(f"{a}, {b}" for a, b in edges),
        "graph_indicator": lines(indicator),
        "graph_labels": lines(1 if graph % 2 else -1 for graph in range(30)),
        "node_labels": lines(3 + node % 3 for node in range(len(indicator))),
        "node_attributes": lines(f"{node / 4}, {-node / 8}" for node in range(len(indicator))),
        "graph_attributes": lines(f"{graph / 4}, {graph}" for graph in range(30)),
    }


def coloured_blocks(count: int, *shape: int) -> np.ndarray:
    """uint8 images of 4 x 4 blocks."""
    rng = np.random.default_rng(0)
    height, width, *channels = shape
    return rng.integers(0, 256, (count, height // 4, width // 4, *channels), np.uint8).repeat(4, 1).repeat(4, 2)


def write_mnist(folder: Path, train: int, test: int) -> dict[str, tuple[int, str]]:
    """Writes idx files of so many images; returns the table of their sizes and hashes."""
    folder.mkdir(parents=True)
    table = {}
    pixels, first = coloured_blocks(train + test, 28, 28), 0
    for part, count in (("train", train), ("t10k", test)):
        content = {
            f"{part}-images-idx3-ubyte": bytes(16) + pixels[first : first + count].tobytes(),
            f"{part}-labels-idx1-ubyte": bytes(8) + bytes(k % 10 for k in range(count)),
        }
        first += count
        for name, data in content.items():
            table[name] = (len(data), hashlib.sha256(data).hexdigest())
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, compresslevel=1))
    return table


def draw_graphs(count: int, num_features: int = 3) -> list[Data]:
    """Graphs of 1 to 12 nodes: repeated edges and self-loops in some, none at all in others."""
    graphs = []
    for number in range(count):
        nodes = 1 + (7 * number) % 12
        edges = torch.randint(nodes, (2, (5 * number) % 30))
        graphs.append(
            Data(
                x=torch.randn(nodes, num_features),
                edge_index=edges,
                edge_attr=torch.rand(edges.size(1)),
                y=torch.tensor([number % 2]),
            )
        )
    return graphs


class ToyGraphs(BatchedDataModule):
    """`graphs` by shares 60 : 20 : 20, in order; their number is their first feature."""

    name, task, num_features, num_classes = "toy", "graph_classification", 3, 2

    def __init__(self, count: int = 25, **arguments) -> None:
        super().__init__(**arguments)
        self.graphs = draw_graphs(count)
        for number, graph in enumerate(self.graphs):
            graph.x[:, 0] = number

    def load(self) -> tuple[GraphStore, Split]:
        count = len(self.graphs)
        numbers = torch.arange(count).split([count - 2 * (count // 5), count // 5, count // 5])
        return GraphStore.of(self.name, self.graphs), Split(*numbers)
