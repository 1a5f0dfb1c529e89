"""Programs that prepare raw features themselves compute what others compute of features that training prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from app.cli.main import main
from app.deploy.preparation import RAW, steps_of
from app.engine import Executable, Graph, load_program
from app.engine.program.io import save_program
from app.engine.program.model import OUTPUT
from app.engine.program.preparation import features_of, with_preparation
from app.runs.run_folder import Run
from datamodules.base import GraphDataModule
from datamodules.features import Scaling, standardised_degree
from datamodules.transforms import normalize_rows
from tests.app.engine.programs import PROGRAMS, Draft

NODES, WIDTH, GRAPHS = 60, 37, 6
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")


def measurements(rng: np.random.Generator, density: float = 1.0) -> np.ndarray:
    x = rng.lognormal(0, 3, (NODES, WIDTH)) * rng.choice([-1, 1], (NODES, WIDTH))
    x *= rng.uniform(size=x.shape) < density
    x[7] = 0
    return x.astype(np.float32)


def of_rows(rng: np.random.Generator, data: GraphDataModule, *, sparse: bool) -> tuple[Any, np.ndarray]:
    raw, data.preparation = measurements(rng, 0.05 if sparse else 1), ("row_normalize",)
    rows: Any = sp.csr_matrix(raw)
    x = torch.from_numpy(raw).to_sparse_csr() if sparse else torch.from_numpy(raw)
    prepared = normalize_rows(Data(x=x)).x
    return (rows if sparse else raw), prepared.to_dense().numpy()


def of_columns(rng: np.random.Generator, data: GraphDataModule) -> tuple[Any, np.ndarray]:
    raw = measurements(rng)
    raw[:, 3], raw[:, 4] = 5, raw[:, 4] > 0
    data.scaling, data.preparation = Scaling.of(torch.from_numpy(raw), torch.arange(NODES) < 40), ("standardize",)
    return raw, data.scaling.applied(torch.from_numpy(raw)).numpy()


def of_degrees(graph: Graph, data: GraphDataModule) -> tuple[Any, np.ndarray]:
    degrees = torch.from_numpy(graph.adjacency(self_loops=False).degrees).float()
    sizes = torch.bincount(torch.from_numpy(graph.graph_of_nodes).long(), minlength=GRAPHS)
    x, data.scaling = standardised_degree(degrees, sizes, torch.arange(GRAPHS - 1))
    data.preparation = ("in_degree", "standardize")
    return np.zeros((NODES, 0)), x.numpy()


@pytest.mark.parametrize("kind", ["dense rows", "sparse rows", "columns", "degrees"])
@pytest.mark.parametrize("network", ["gcn_factored", "graph_gin"])
def test_raw_features_give_the_codes_of_prepared_ones(kind: str, network: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    targets = (NODES * rng.uniform(size=4000) ** 3).astype(int)  # in-degrees of many sizes
    edges = np.stack([rng.integers(0, NODES, targets.size), targets])
    graph = Graph(edges, NODES, np.sort(np.arange(NODES) % GRAPHS), GRAPHS)
    data = GraphDataModule()
    raw, x = {
        "dense rows": lambda: of_rows(rng, data, sparse=False),
        "sparse rows": lambda: of_rows(rng, data, sparse=True),
        "columns": lambda: of_columns(rng, data),
        "degrees": lambda: of_degrees(graph, data),
    }[kind]()
    data.num_features = x.shape[1]
    program = PROGRAMS[network](Draft(1, x.shape[1]), 16, 5)
    save_program(with_preparation(program, steps_of(data)), tmp_path)
    prepares, plain = load_program(tmp_path), Executable(program)
    assert prepares.prepares
    assert not plain.prepares
    expected, traced = plain.trace(x, graph), prepares.trace(raw, graph)
    np.testing.assert_array_equal(traced[features_of(with_preparation(program, steps_of(data)))], x)
    for name in expected.keys() - {"x"}:
        np.testing.assert_array_equal(traced[name], expected[name], err_msg=name)
    assert len(np.unique(expected[OUTPUT])) > 5
    logits, report = prepares.run(raw, graph, report=True)
    np.testing.assert_array_equal(logits, expected[OUTPUT])
    assert report.saturated == (0 if kind == "degrees" else plain.saturated(x))
    for other in (load_program(tmp_path, "reference"), load_program(tmp_path, threads=2)):
        np.testing.assert_array_equal(other.run_in_stages(_read(other, raw), graph), expected[OUTPUT])


def _read(executable: Executable, raw: Any) -> Any:
    return executable._read(raw, np.zeros((2, 0), int), None, None, edge_weight=None)[0]


def test_a_degree_counts_as_a_hop() -> None:
    data = GraphDataModule()
    data.preparation, data.num_features = ("in_degree",), 1
    program = PROGRAMS["gin"](Draft(1, 1), 16, 5)
    hops = Executable(program).hops
    executable = Executable(with_preparation(program, steps_of(data)))
    assert hops is not None
    assert executable.hops == hops + 1
    rng = np.random.default_rng(0)
    graph, x = Graph(rng.integers(0, NODES, (2, 80)), NODES), np.zeros((NODES, 0))
    whole = executable.run(x, graph)
    for node in range(NODES):
        part = graph.neighbourhood([node], executable.hops)
        np.testing.assert_array_equal(executable.run(x[part.nodes], part.graph)[part.rows], whole[[node]])


def test_the_command(dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The synthetic data has row-normalised counts of words: the counts themselves give the same logits."""
    target = tmp_path / "served"
    assert main(["export", "--run", str(dq_run.directory), "--output", str(target), "--with-preprocessing"]) == 0
    card = json.loads((target / "manifest.json").read_text())["manifest"]
    assert card["data"]["features"] == RAW
    words = [
        "predict",
        "--cell",
        "synthetic/gcn/dq_int8",
        "--output",
        str(tmp_path / "p.csv"),
        "--program",
        str(target),
    ]
    assert main(words) == 2
    assert "reads raw features" in capsys.readouterr().err


def test_an_export_that_is_stopped_leaves_the_program_that_was_there(
    dq_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["export", "--run", str(dq_run.directory), "--output", str(tmp_path), "--with-preprocessing"]
    assert main(words) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.deploy.export.compare", stopped)
    assert main(words) == 130
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_program_of_a_run_stays_as_its_data_needs_it(refused: Any, dq_run: Run) -> None:
    assert "give --output" in refused("export", "--run", dq_run.directory, "--with-preprocessing")


def test_features_that_are_read_as_they_are_need_no_preparation() -> None:
    data = GraphDataModule()
    data.name = "mine"
    with pytest.raises(ValueError, match="mine has no features that are prepared"):
        steps_of(data)
