from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric.accelerators import MPSAccelerator as FabricMPSAccelerator
from pytorch_lightning.accelerators import MPSAccelerator

from app.config.machine import choose, what_was_chosen
from tests.fake_gpu import GPU, fake_gpu

CPU = torch.device("cpu")


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has a GPU of Apple's."""
    for kind in (MPSAccelerator, FabricMPSAccelerator):
        monkeypatch.setattr(kind, "is_available", lambda: True)


def test_auto_is_a_gpu_where_there_is_one_and_other_words_stay() -> None:
    assert choose("auto") == "cpu"
    with fake_gpu():
        assert choose("auto") == "cuda"
        assert choose("cpu") == "cpu"


@pytest.mark.usefixtures("mac")
def test_auto_never_is_a_gpu_of_apple_s() -> None:
    assert choose("auto") == "cpu"
    assert "Apple's GPU has neither sparse matrices nor float64" in what_was_chosen("auto", CPU)


def test_nothing_is_said_where_there_was_nothing_to_choose() -> None:
    assert what_was_chosen("auto", CPU) == ""
    with fake_gpu():
        assert what_was_chosen("gpu", GPU) == ""


@pytest.mark.usefixtures("mac")
def test_a_gpu_of_apple_s_is_refused_by_name(
    refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = ("--runs-root", tmp_path, "--trainer.accelerator=mps")
    told = refused("fit", "--cell", "synthetic/gcn/dq_int8", *words, *small(2))
    assert told.startswith("trainer.accelerator: mps: Apple's GPU has neither sparse matrices")
    assert not list(tmp_path.glob("**/*.ckpt"))
