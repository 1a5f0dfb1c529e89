from __future__ import annotations

import os
import pickle
from io import BytesIO
from pathlib import Path

import pytest
import torch

from datamodules import DataError, ZincDataModule
from datamodules.datasets import zinc

SIZES = {"train": 6, "val": 2, "test": 3}


def molecule(number: int, atoms: int) -> dict:
    """A ring of atoms of types 0, 1, ...; single and double bonds in turn."""
    bonds = torch.zeros(atoms, atoms, dtype=torch.int8)
    for k in range(atoms):
        bonds[k, (k + 1) % atoms] = bonds[(k + 1) % atoms, k] = 1 + k % 2
    return {
        "num_atom": atoms,
        "atom_type": torch.arange(atoms, dtype=torch.int8),
        "bond_type": bonds,
        "logP_SA_cycle_normalized": torch.tensor([number / 4]),
    }


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Ten molecules in each file, of which the index names a few, last first."""
    monkeypatch.setattr(zinc, "SIZES", SIZES)
    folder = tmp_path / "zinc" / "raw"
    folder.mkdir(parents=True)
    for part, size in SIZES.items():
        molecules = [molecule(number, 3 + number) for number in range(10)]
        (folder / f"{part}.pickle").write_bytes(pickle.dumps(molecules))
        (folder / f"{part}.index").write_text(",".join(str(9 - k) for k in range(size)) + "\n")
    return tmp_path / "zinc"


def loaded(root: Path) -> ZincDataModule:
    datamodule = ZincDataModule(str(root), cache=str(root.parent / "cache"))
    datamodule.setup()
    return datamodule


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        loaded(root)
    sentence = str(caught.value)
    assert sentence.startswith("ZINC: ")
    assert "\n" not in sentence
    assert list((root.parent / "cache").glob("*")) == []
    return sentence


def test_the_molecules_the_index_names_are_read_in_its_order(root):
    datamodule = loaded(root)
    assert {part: len(numbers) for part, numbers in vars(datamodule.split).items()} == SIZES
    assert datamodule.store[datamodule.split.val].y.tolist() == [9 / 4, 8 / 4]


def test_nodes_are_types_of_atoms_and_targets_are_numbers(root):
    datamodule = loaded(root)
    batch = datamodule.store[datamodule.split.val]
    assert batch.y.dtype == torch.float32
    assert (batch.x.dtype, batch.x.shape) == (torch.int64, (23, 1))
    assert batch.x.flatten().tolist() == [*range(12), *range(11)]


def test_edges_are_bonds_in_both_directions(root):
    datamodule = loaded(root)
    batch = datamodule.store[datamodule.split.val]
    expected = {(k, (k + 1) % 12) for k in range(12)}
    first = batch.edge_index[:, batch.edge_index[0] < 12]
    assert {tuple(edge) for edge in first.T.tolist()} == expected | {(b, a) for a, b in expected}


def test_the_graphs_are_kept_and_made_anew_from_other_files(root, monkeypatch):
    first = loaded(root)
    with monkeypatch.context() as patch:
        patch.setattr(zinc, "unpickle", lambda *arguments: pytest.fail("read again"))
        again = loaded(root)
    assert torch.equal(first.store.x, again.store.x)
    (root / "raw" / "val.index").write_text("0,1\n")
    assert loaded(root).store[first.split.val].y.tolist() == [0, 1 / 4]


def test_a_damaged_cache_is_made_anew(root):
    before = loaded(root).store
    (path,) = (root.parent / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    assert torch.equal(loaded(root).store.y, before.y)


def test_nothing_is_written_beside_the_raw_files(root):
    before = sorted(root.rglob("*"))
    loaded(root)
    assert sorted(root.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_named(root):
    (root.parent / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written .*: name a folder by --data\.cache"):
        loaded(root)


def damaged(part: str, key: str, value: object) -> list[dict]:
    molecules = [molecule(number, 3 + number) for number in range(10)]
    molecules[9][key] = value
    return molecules


class Dangerous:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("train.pickle", pickle.dumps([molecule(0, 3)])[:-100], "train.pickle is cut or damaged"),
        ("train.pickle", b"", "train.pickle is cut or damaged"),
        ("train.pickle", pickle.dumps({}), "train.pickle holds a dict"),
        ("train.pickle", pickle.dumps([Dangerous()]), "names builtins.print"),
        ("val.pickle", pickle.dumps(damaged("val", "atom_type", torch.tensor([28]))),
         "molecule 9 has atoms outside 0..27"),
        ("val.pickle", pickle.dumps(damaged("val", "bond_type", None)), "molecule 9 lacks atoms, bonds or target"),
        ("test.index", b"1,2\n", "test.index names 2 molecules, expected 3"),
        ("test.index", b"1,2,10\n", "test.index names molecule '10', expected 0 to 9"),
        ("test.index", b"1;2\n", "test.index names molecule '1;2'"),
    ],
)  # fmt: skip
def test_damage_is_named(root, capsys, file, content, words):
    (root / "raw" / file).write_bytes(content)
    sentence = refusal(root)
    for word in (words, zinc.URL, str(root / "raw")):
        assert word in sentence
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("file", ["train.pickle", "val.index"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(root, file):
    (root / "raw" / file).unlink()
    os.mkfifo(root / "raw" / file)
    assert "ZINC: files are missing: put " in refusal(root)


def test_tensors_in_a_pickle_run_nothing_either(root, capsys):
    inner = BytesIO()
    torch.save(Dangerous(), inner)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (inner.getvalue(),)

    (root / "raw" / "train.pickle").write_bytes(pickle.dumps([Storage()]))
    assert "names print, which no tensor needs" in refusal(root)
    assert capsys.readouterr().out == ""


def test_missing_files_are_named(root):
    (root / "raw" / "val.index").unlink()
    datamodule = ZincDataModule(str(root))
    assert datamodule.missing() == [f"{zinc.INDEX_URL}/val.index into {root / 'raw'}"]
    assert f"put {zinc.INDEX_URL}/val.index into" in refusal(root)


def test_attributes_are_known_before_the_disk_is_touched():
    datamodule = ZincDataModule("nowhere")
    assert (datamodule.name, datamodule.task, datamodule.num_features, datamodule.num_classes) == (
        "ZINC", "graph_regression", 28, 1,
    )  # fmt: skip


@pytest.mark.data
def test_the_real_validation_and_test_molecules(zinc_root, tmp_path, monkeypatch):
    # Those to train on take ten seconds to read: `train.py data verify` does.
    monkeypatch.setattr(zinc, "SIZES", {"train": 1000, "val": 1000, "test": 1000})
    folder = tmp_path / "raw"
    folder.mkdir()
    for part, source in {"train": "val", "val": "val", "test": "test"}.items():
        for ending in ("pickle", "index"):
            (folder / f"{part}.{ending}").symlink_to(zinc_root / "pyg" / "raw" / f"{source}.{ending}")
    datamodule = ZincDataModule(str(tmp_path), cache=str(tmp_path / "cache"))
    datamodule.setup()
    store = datamodule.store
    assert (len(store), len(store.x), store.edge_index.size(1)) == (3000, 2 * 23083 + 23117, 2 * 49692 + 49720)
    assert (int(store.num_nodes.min()), int(store.num_nodes.max())) == (10, 37)
    assert int(store.x.max()) < 28
    assert datamodule.substitute == ""
