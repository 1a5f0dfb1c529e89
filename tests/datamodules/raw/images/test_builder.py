from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import DataError
from datamodules.batched import Split
from datamodules.raw.images import builder as building
from datamodules.raw.images.builder import SuperpixelBuilder, superpixel_graphs
from datamodules.raw.images.graphs import Slic

SLIC = Slic(75, 95, 0.25)
COUNT = 14


@pytest.fixture
def images(draw_images) -> tuple[np.ndarray, np.ndarray]:
    """14 images of 28 x 28 pixels, and their labels."""
    return draw_images(COUNT, 28, 28), np.arange(COUNT, dtype=np.uint8) % 10


@pytest.fixture
def builder(tmp_path) -> SuperpixelBuilder:
    """Builds files of 4 images, the last of 2, in this process."""
    return SuperpixelBuilder("MNIST", tmp_path / "cache", SLIC, range(4), images_per_file=4, processes=1)


def files(builder: SuperpixelBuilder) -> list[Path]:
    return sorted(builder.folder.glob("*.safetensors"))


def times(builder: SuperpixelBuilder) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in files(builder)}


def assert_same_graphs(builder: SuperpixelBuilder, images: tuple[np.ndarray, np.ndarray]) -> None:
    found = builder.load().tensors()
    for part, tensor in superpixel_graphs("MNIST", SLIC, *images).tensors().items():
        assert torch.equal(found[part], tensor), part


def test_files_hold_the_graphs_of_all_images(builder, images):
    assert builder.missing() == [0, 1, 2, 3]
    builder.build(*images)
    assert [path.name for path in files(builder)] == [f"00{k}.safetensors" for k in range(4)]
    assert builder.missing() == []
    assert_same_graphs(builder, images)


def test_only_needed_files_are_built(builder, images):
    some = replace(builder, files=[0, 3])
    some.build(*images)
    assert [path.stem for path in files(some)] == ["000", "003"]
    assert some.load().y.tolist() == [0, 1, 2, 3, 2, 3]


def test_a_split_of_images_becomes_one_of_the_graphs_that_are_loaded(builder):
    some = replace(builder, files=[0, 2, 3])
    found = some.positions(Split(torch.tensor([1, 3]), torch.tensor([9, 8]), torch.tensor([12, 13])))
    assert [part.tolist() for part in vars(found).values()] == [[1, 3], [5, 4], [8, 9]]


def test_an_interrupted_build_continues_where_it_stood(builder, images, monkeypatch):
    calls = []

    def interrupt_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return superpixel_graphs(*arguments)

    monkeypatch.setattr(building, "superpixel_graphs", interrupt_the_third)
    with pytest.raises(KeyboardInterrupt):
        builder.build(*images)
    finished = times(builder)
    assert [path.stem for path in finished] == ["000", "001"]

    builder.build(*images)
    assert len(calls) == 3 + 2
    assert {path: times(builder)[path] for path in finished} == finished
    assert_same_graphs(builder, images)


def test_a_killed_build_leaves_whole_files_and_continues(builder, draw_images):
    images = draw_images(100, 28, 28), np.arange(100, dtype=np.uint8) % 10
    large = replace(builder, files=range(20), images_per_file=5)
    build = multiprocessing.get_context("fork").Process(target=large.build, args=images)
    build.start()
    while len(files(large)) < 3 and build.is_alive():
        time.sleep(0.005)
    build.kill()
    build.join()
    finished = times(large)
    assert 3 <= len(finished) < 20

    large.build(*images)
    assert {path: times(large)[path] for path in finished} == finished
    assert len(files(large)) == 20
    assert_same_graphs(large, images)


def test_several_processes_build_the_same_graphs(builder, images, monkeypatch):
    # Forked here, since to import everything in new processes takes tens of seconds.
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(building, "get_context", {"spawn": fork}.__getitem__)
    replace(builder, processes=2).build(*images)
    assert_same_graphs(builder, images)


def test_unfinished_files_are_removed_when_they_are_old(builder, images):
    builder.folder.mkdir()
    old, fresh = builder.folder / ".001.safetensors.old", builder.folder / ".001.safetensors.fresh"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    builder.build(*images)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_damaged_file_is_named(builder, images):
    builder.build(*images)
    path = files(builder)[1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"MNIST: .*001\.safetensors is damaged: delete it"):
        builder.load()


def killed(path: Path, **_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_sentence(builder, images, monkeypatch):
    monkeypatch.setattr(building, "get_context", lambda method: multiprocessing.get_context("fork"))
    monkeypatch.setattr(building, "build_file", killed)
    with pytest.raises(DataError, match="MNIST: a process that built superpixels was killed"):
        replace(builder, processes=2).build(*images)
