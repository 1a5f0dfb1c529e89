from __future__ import annotations

import os
import pickle
import shutil
import socket
import warnings
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.io import read_planetoid_data

from datamodules import CitationDataModule, DataError
from datamodules.datasets import citation
from datamodules.datasets.citation import FILES, STATISTICS, Statistics, read_planetoid
from datamodules.raw import raw_files

MASKS = ("train_mask", "val_mask", "test_mask")
NAMES = tuple(STATISTICS)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def unreachable(url: str) -> bytes:
        raise URLError(socket.gaierror(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(raw_files, "fetch", unreachable)


@pytest.fixture
def cora_copy(planetoid_root, tmp_path) -> Path:
    """A root with Cora's files that may be damaged."""
    folder = tmp_path / "Cora" / "raw"
    folder.mkdir(parents=True)
    for path in (planetoid_root / "Cora" / "raw").iterdir():
        shutil.copyfile(path, folder / path.name)
    return tmp_path


def loaded(root: Path, name: str = "Cora", **arguments) -> CitationDataModule:
    datamodule = CitationDataModule(name, str(root), **arguments)
    datamodule.prepare_data()
    datamodule.setup("fit")
    return datamodule


def as_published(value: object) -> bytes:
    """The pickle of a value that names the modules of 2016."""
    return pickle.dumps(value, protocol=2).replace(b"scipy.sparse._csr", b"scipy.sparse.csr")


def tree(root: Path) -> list[tuple[str, int, int]]:
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*"))]


@pytest.fixture(scope="module", params=NAMES)
def real(request, planetoid_root) -> CitationDataModule:
    return loaded(planetoid_root, request.param)


@pytest.mark.data
class TestRealData:
    def test_counts(self, real):
        assert Statistics.of(real.graph_data) == STATISTICS[real.name]
        assert real.graph_data.x.shape == (STATISTICS[real.name].nodes, real.num_features)
        assert int(real.graph_data.y.max()) + 1 == real.num_classes

    def test_it_is_the_graph_pyg_reads(self, real, planetoid_root):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = read_planetoid_data(str(planetoid_root / real.name / "raw"), real.name.lower())
        ours = real.graph_data
        assert torch.equal(ours.x.to_dense() != 0, theirs.x != 0)
        for key in ("edge_index", "y", *MASKS):
            assert torch.equal(ours[key], theirs[key]), key

    def test_edges_are_symmetric_and_sorted(self, real):
        pairs = [(int(t), int(s)) for s, t in real.graph_data.edge_index.T]
        assert pairs == sorted(set(pairs))
        assert {(s, t) for t, s in pairs} == set(pairs)

    def test_masks_are_disjoint_and_training_is_balanced(self, real):
        data = real.graph_data
        assert torch.stack([data[mask] for mask in MASKS]).sum(0).max() == 1
        assert torch.bincount(data.y[data.train_mask]).tolist() == [20] * real.num_classes

    def test_rows_sum_to_one_where_they_are_not_empty(self, real):
        sums = real.graph_data.x.to_dense().sum(1)
        empty = real.graph_data.x.crow_indices().diff() == 0
        torch.testing.assert_close(sums, (~empty).float())
        assert real.graph_data.x.layout == torch.sparse_csr

    def test_raw_features_are_zero_and_one(self, real, planetoid_root):
        raw = loaded(planetoid_root, real.name, features="raw").graph_data.x
        assert raw.values().unique().tolist() == [1]
        assert torch.equal(raw.to_dense() != 0, real.graph_data.x.to_dense() != 0)

    def test_degree_cdf_is_its_definition(self, real):
        data = real.graph_data
        degree = torch.bincount(data.edge_index[1], minlength=data.num_nodes)
        assert torch.equal(data.degree_cdf, (degree[None, :] <= degree[:, None]).sum(1) / data.num_nodes)
        assert data.degree_cdf[degree.argmax()] == 1

    def test_a_read_only_root_is_left_as_it_is(self, cora_copy):
        before = tree(cora_copy)
        for path in (cora_copy / "Cora" / "raw", cora_copy / "Cora", cora_copy):
            path.chmod(0o555)
        try:
            loaded(cora_copy)
            assert tree(cora_copy) == before
        finally:
            for path in (cora_copy, cora_copy / "Cora", cora_copy / "Cora" / "raw"):
                path.chmod(0o755)

    def test_the_other_spelling_of_the_folder(self, planetoid_root, tmp_path):
        shutil.copytree(planetoid_root / "Citeseer", tmp_path / "CiteSeer", copy_function=shutil.copyfile)
        assert loaded(tmp_path, "Citeseer").graph_data.num_nodes == 3327

    @pytest.mark.parametrize("part", FILES["Cora"])
    def test_every_file_is_verified_and_no_damaged_one_unpickled(self, cora_copy, part, monkeypatch):
        monkeypatch.setattr(citation, "unpickle", lambda *arguments: pytest.fail("unpickled"))
        file = cora_copy / "Cora" / "raw" / f"ind.cora.{part}"
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DataError, match="is not the published file") as caught:
            loaded(cora_copy)
        for word in (
            "Cora",
            file.name,
            f"https://github.com/kimiyoung/planetoid/raw/master/data/{file.name}",
        ):
            assert word in str(caught.value)
        assert str(file.parent) in str(caught.value)

    def test_a_cut_file_is_named(self, cora_copy):
        file = cora_copy / "Cora" / "raw" / "ind.cora.graph"
        file.write_bytes(file.read_bytes()[:1000])
        with pytest.raises(DataError, match=r"Cora: ind\.cora\.graph is cut \(1000 of 59847 bytes\)"):
            loaded(cora_copy)

    def test_only_missing_files_are_downloaded(self, cora_copy, monkeypatch):
        folder = cora_copy / "Cora" / "raw"
        content = (folder / "ind.cora.tx").read_bytes()
        (folder / "ind.cora.tx").unlink()
        before = tree(folder)
        url = "https://github.com/kimiyoung/planetoid/raw/master/data/ind.cora.tx"
        monkeypatch.setattr(raw_files, "fetch", {url: content}.__getitem__)
        assert loaded(cora_copy).graph_data.num_nodes == 2708
        assert [entry for entry in tree(folder) if not entry[0].endswith(".tx")] == before

    def test_wrong_counts_are_refused(self, planetoid_root, monkeypatch):
        monkeypatch.setitem(STATISTICS, "Cora", Statistics(2708, 10858, 1433, 7, 140, 500, 1000))
        with pytest.raises(DataError, match=r"Cora: loaded .*edges=10556.*expected .*edges=10858"):
            loaded(planetoid_root)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_without_a_network(name, tmp_path):
    datamodule = CitationDataModule(name, str(tmp_path))
    with pytest.raises(DataError) as caught:
        datamodule.prepare_data()
    sentence = str(caught.value)
    prefix = f"ind.{name.lower()}."
    for part in (name, prefix, f"{citation.URL}/{prefix}", str(tmp_path / name / "raw"), "name resolution"):
        assert part in sentence
    assert "\n" not in sentence
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="is missing"):
        datamodule.setup("fit")


@pytest.mark.parametrize(
    ("root", "variable", "expected"),
    [
        ("given", "/env", Path("given/Cora/raw")),
        (None, "/env", Path("/env/planetoid/Cora/raw")),
        (None, None, Path("data/planetoid/Cora/raw")),
    ],
)
def test_root_resolution(root, variable, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEGREE_QUANT_DATA", raising=False)
    if variable:
        monkeypatch.setitem(os.environ, "DEGREE_QUANT_DATA", variable)
    assert CitationDataModule("Cora", root).raw_folder == expected


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="name: expected one of Cora, Citeseer, got 'cora'"):
        CitationDataModule("cora")


@pytest.fixture
def small():
    """Four nodes in allx, test nodes 6 and 4 in this order, node 5 in no file."""
    one_hot = np.eye(3, dtype=np.int32)
    contents = {
        "y": one_hot[[0]],
        "ally": one_hot[[0, 1, 2, 1]],
        "ty": one_hot[[2, 1]],
        "allx": sp.csr_matrix(np.eye(4, 5, dtype=np.float32)),
        "tx": sp.csr_matrix(np.array([[0, 0, 0, 0, 1], [1, 1, 0, 0, 0]], np.float32)),
        "graph": {0: [1, 1, 0], 1: [0], 2: [6], 3: [], 4: [], 5: [], 6: [2]},
    }
    return read_planetoid({**{k: as_published(v) for k, v in contents.items()}, "test.index": b"6\n4\n"})


@pytest.mark.parametrize(("node", "words"), [(3, [0, 0, 0, 1, 0]), (4, [1, 1, 0, 0, 0]), (6, [0, 0, 0, 0, 1])])
def test_test_rows_belong_to_the_nodes_in_their_line(small, node, words):
    assert small.x.to_dense()[node].tolist() == words


def test_a_node_in_no_file_has_no_words_and_class_zero(small):
    assert small.x.to_dense()[5].tolist() == [0] * 5
    assert small.y.tolist() == [0, 1, 2, 1, 1, 0, 2]


def test_self_citations_and_repeats_are_dropped(small):
    assert sorted(small.edge_index.T.tolist()) == [[0, 1], [1, 0], [2, 6], [6, 2]]


def test_masks_follow_from_the_files(small):
    assert small.train_mask.nonzero().flatten().tolist() == [0]
    assert small.test_mask.nonzero().flatten().tolist() == [4, 6]


def test_files_that_call_anything_else_are_not_read(capsys):
    class Dangerous:
        def __reduce__(self):
            return print, ("executed",)

    contents = dict.fromkeys(("allx", "ally", "tx", "ty", "y", "graph"), pickle.dumps(Dangerous()))
    with pytest.raises(ValueError, match=r"names builtins\.print"):
        read_planetoid({**contents, "test.index": b"0\n"})
    assert capsys.readouterr().out == ""
