from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from lightning_fabric.accelerators import MPSAccelerator as FabricMPSAccelerator
from pytorch_lightning.accelerators import MPSAccelerator
from torch.distributed import rendezvous

from app.config.cells import select
from app.config.machine import (
    TIMEOUT,
    OwnProcesses,
    choose,
    patience,
    started_by_a_cluster,
    what_is_less_exact,
    what_was_chosen,
)
from app.errors import UserError
from app.runs.experiment import Experiment
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


@pytest.mark.parametrize(("precision", "told"), [("highest", False), ("high", True), ("medium", True)])
def test_products_in_tf32_are_told_on_a_gpu(precision: str, told: bool) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert ("multiply in TF32" in what_is_less_exact(GPU)) == told
        assert what_is_less_exact(CPU) == ""
    finally:
        torch.set_float32_matmul_precision(before)


def test_products_in_tf32_by_the_newer_setting_are_told_too() -> None:
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has one setting only")
    code = (
        "import torch; torch.backends.cuda.matmul.fp32_precision = 'tf32'; "
        "from app.config.machine import what_is_less_exact; print(what_is_less_exact(torch.device('cuda')))"
    )
    assert "multiply in TF32" in subprocess.check_output([sys.executable, "-c", code], text=True)


@pytest.mark.usefixtures("mac")
def test_a_gpu_of_apple_s_is_refused_by_name(
    refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = ("--runs-root", tmp_path, "--trainer.accelerator=mps")
    told = refused("fit", "--cell", "synthetic/gcn/dq_int8", *words, *small(2))
    assert told.startswith("trainer.accelerator: mps: Apple's GPU has neither sparse matrices")
    assert not list(tmp_path.glob("**/*.ckpt"))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("0.5", 0.5)])
def test_how_long_processes_wait_can_be_said(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv(TIMEOUT, text)
    assert patience() == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "1e300"])
def test_a_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(TIMEOUT, text)
    with pytest.raises(UserError, match=f"^{TIMEOUT}: expected seconds above 0, got '{text}'"):
        patience()


def test_torch_waits_as_long_as_it_does_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)
    assert patience() is None


@pytest.mark.parametrize("strategy", ["ddp", "auto", "ddp_find_unused_parameters_true"])
def test_processes_that_train_together_wait_as_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strategy: str
) -> None:
    monkeypatch.setenv(TIMEOUT, "90")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # which Lightning sets, and would leave to other tests
    monkeypatch.setenv("MASTER_PORT", "4711")
    words = ("--trainer.accelerator=cpu", "--trainer.devices=2", f"--trainer.strategy={strategy}")
    (cell,) = select("digits/gin/dq_int8")
    built = Experiment.of_cell(cell, 0, overrides=words).build(tmp_path)
    given: dict[str, object] = {}

    def meet(*words: object, **named: object) -> None:
        given.update(named)
        raise InterruptedError

    monkeypatch.setattr(torch.distributed, "init_process_group", meet)
    with pytest.raises(InterruptedError):
        built.trainer.strategy.setup_environment()
    assert given["timeout"] == timedelta(seconds=90)


def test_the_first_process_listens_as_soon_as_it_has_a_port_and_torch_meets_there() -> None:
    own = OwnProcesses()
    port = own.main_port
    assert own.main_port == port
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))  # with SO_REUSEADDR, to which a port that is only kept is free
    store, rank, size = next(rendezvous(f"tcp://127.0.0.1:{port}", rank=0, world_size=1))
    assert (rank, size) == (0, 1)
    assert store.port == port


def test_a_port_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", "4711")
    assert OwnProcesses().main_port == 4711


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1"])
def test_what_is_no_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MASTER_PORT", text)
    with pytest.raises(UserError, match=f"^MASTER_PORT: expected a port, .*, got '{text}'"):
        _ = OwnProcesses().main_port


def test_what_a_cluster_starts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not started_by_a_cluster()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert started_by_a_cluster()
