from __future__ import annotations

import os
import pickle
import tarfile
from io import BytesIO
from pickle import UnpicklingError

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from datamodules import DataError
from datamodules.raw.saved_graphs import made, nothing_runs
from tests.datamodules.raw.hostile import Dangerous, saved


class TestNothingRuns:
    def test_even_a_file_that_is_to_be_trusted_is_not(self, tmp_path):
        with nothing_runs(), pytest.raises(UnpicklingError):
            torch.load(BytesIO(saved(Dangerous(tmp_path / "executed"))), weights_only=False)
        assert list(tmp_path.iterdir()) == []

    def test_an_archive_stays_in_its_folder(self, tmp_path):
        content = BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("../outside"))
        content.seek(0)
        with nothing_runs(), tarfile.open(fileobj=content) as archive, pytest.raises(tarfile.TarError):
            archive.extractall(tmp_path / "inside")
        assert not (tmp_path / "outside").exists()

    def test_a_python_that_cannot_tell_unpacks_nothing(self, tmp_path, monkeypatch):
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        content = BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("inside"))
        content.seek(0)
        with tarfile.open(fileobj=content) as archive, pytest.raises(DataError, match=r"use Python 3\.10\.12"):
            made(lambda: archive.extractall(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_afterwards_all_is_as_it_was(self, monkeypatch):
        monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
        before, before_pickle = getattr(tarfile.TarFile, "extraction_filter", None), pickle.load
        with nothing_runs():
            pass
        assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
        assert getattr(tarfile.TarFile, "extraction_filter", None) is before
        assert pickle.load is before_pickle

    @pytest.mark.parametrize("read", [pickle.loads, lambda content: pickle.Unpickler(BytesIO(content)).load()])
    def test_no_pickle_calls_anything(self, tmp_path, read):
        content = pickle.dumps(Dangerous(tmp_path / "executed"))
        with nothing_runs(), pytest.raises(UnpicklingError, match="mkdir"):
            read_with(read, content)
        assert list(tmp_path.iterdir()) == []
        read(content)  # outside of it, pickles are what they were
        assert (tmp_path / "executed").exists()

    def test_arrays_that_numpy_unpickles_run_nothing(self, tmp_path):
        np.save(tmp_path / "x.npy", np.array([Dangerous(tmp_path / "executed")], dtype=object))
        with nothing_runs(), pytest.raises((UnpicklingError, ValueError)):
            np.load(tmp_path / "x.npy", allow_pickle=True)
        assert not (tmp_path / "executed").exists()

    def test_arrays_matrices_and_tensors_in_a_pickle_are_made(self):
        matrix = sp.csr_matrix(np.array([[0.0, 2.0], [1.0, 0.0]]))
        value = {"a": np.arange(3), "m": matrix, "t": torch.arange(4), "n": np.float32(1.5), "s": {1, 2}}
        content = pickle.dumps(value)
        with nothing_runs():
            found = pickle.load(BytesIO(content), encoding="latin1")
        assert found["a"].tolist() == [0, 1, 2]
        assert found["m"].todense().tolist() == matrix.todense().tolist()
        assert torch.equal(found["t"], value["t"])
        assert (found["n"], found["s"]) == (1.5, {1, 2})

    def test_a_matrix_whose_indices_lie_outside_is_none(self):
        matrix = sp.csr_matrix(np.eye(3))
        matrix.indices[1] = 10**6
        content = pickle.dumps(matrix)
        with nothing_runs(), pytest.raises(UnpicklingError, match="sparse matrix that is none"):
            pickle.load(BytesIO(content))

    @pytest.mark.parametrize("opened", [open, os.open])
    def test_a_pipe_is_not_waited_for(self, tmp_path, opened):
        os.mkfifo(tmp_path / "data.pt")
        with nothing_runs(), pytest.raises(OSError, match=r"data\.pt is a pipe or a device"):
            opened(tmp_path / "data.pt", os.O_RDONLY if opened is os.open else "rb")

    def test_a_device_that_never_ends_is_not_read(self, tmp_path):
        (tmp_path / "data.pt").symlink_to("/dev/zero")
        with nothing_runs(), pytest.raises(OSError, match="a pipe or a device"):
            (tmp_path / "data.pt").read_bytes()


def read_with(read, content):
    """`pickle.loads` as it is now, or another way."""
    return pickle.loads(content) if read is LOADS else read(content)


LOADS = pickle.loads


def test_a_data_set_that_unpickles_by_itself_is_refused(tmp_path):
    (tmp_path / "raw.pickle").write_bytes(pickle.dumps(Dangerous(tmp_path / "executed")))

    def dataset():
        with (tmp_path / "raw.pickle").open("rb") as file:
            return pickle.load(file)

    with pytest.raises(DataError, match=r"dataset: a file of it cannot be read \(.*names .*mkdir"):
        made(dataset)
    assert not (tmp_path / "executed").exists()
