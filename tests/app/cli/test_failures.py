from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.distributed import TCPStore

from app.cli.failures import failure_of_machine
from app.cli.main import main
from app.runs import fit

HUGE = 1 << 60
ON_A_GPU = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB. "
    "Including non-PyTorch memory, this process has 61.48 GiB memory in use."
)


def allocate_with_torch() -> None:
    torch.empty(HUGE, dtype=torch.uint8)


def allocate_with_numpy() -> None:
    np.empty(HUGE, dtype=np.uint8)


def allocate_on_a_gpu() -> None:
    raise torch.OutOfMemoryError(ON_A_GPU)


@pytest.mark.parametrize(
    ("allocate", "says"),
    [
        (allocate_with_torch, f"you tried to allocate {HUGE} bytes"),
        (allocate_with_numpy, "Unable to allocate 1.00 EiB"),
        (allocate_on_a_gpu, "(CUDA out of memory. Tried to allocate 20.00 GiB): smaller batches"),
    ],
)
def test_full_memory_is_one_line_that_says_what_it_is_and_no_mistake_of_the_user(
    allocate: Callable[[], None], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit, "fit", lambda options, rest: allocate())
    assert main(["fit", "--cell", "synthetic/gcn/fp32"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: out of memory")
    assert says in err


@pytest.mark.parametrize("said", ["can't start new thread", "Resource temporarily unavailable"])
def test_threads_that_the_system_does_not_start_are_no_mistake_of_the_user_either(said: str) -> None:
    told = failure_of_machine(RuntimeError(said))
    assert told is not None
    assert told.startswith("the system starts no more threads: use fewer (--threads, OMP_NUM_THREADS)")
    lost = failure_of_machine(RuntimeError(f"[gloo/transport/tcp/pair.cc:1] connect: {said}"))
    assert lost is not None
    assert lost.startswith("a process that trains with this one ended")


def test_what_is_no_failure_of_the_machine_stays_what_it_is() -> None:
    assert failure_of_machine(RuntimeError("mat1 and mat2")) is None
    assert failure_of_machine(ValueError("out of memory")) is None


def lose(text: str, kind: type[RuntimeError] = RuntimeError) -> Callable[[], None]:
    def fail() -> None:
        raise kind(text)

    return fail


@pytest.mark.parametrize(
    ("fail", "says"),
    [
        (
            lose(
                "[/p/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:2984. "
                "This is typically caused by a remote worker crashing. Check the logs of the remote worker."
            ),
            "(Connection closed by peer [127.0.0.1]:2984): see what it said",
        ),
        (lose("NCCL error in: x.cpp:1, unhandled system error"), "NCCL error"),
        (
            lose("Timed out after 31 seconds waiting for clients", torch.distributed.DistStoreError),
            "(Timed out after 31",
        ),
    ],
)
def test_a_process_that_is_gone_is_one_line_on_the_others(
    fail: Callable[[], None], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit, "fit", lambda options, rest: fail())
    assert main(["fit", "--cell", "synthetic/gcn/fp32"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: a process that trains with this one ended or is silent")
    assert says in err
    assert "continues from the last finished epoch" in err


def test_a_taken_port_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        port = listening.getsockname()[1]
        monkeypatch.setattr(fit, "fit", lambda options, rest: TCPStore("127.0.0.1", port, 1, is_master=True))
        assert main(["fit", "--cell", "synthetic/gcn/fp32"]) == 1
    told = f"error: port {port}, where the processes of a run meet, is taken: give a free one in MASTER_PORT\n"
    assert capsys.readouterr() == ("", told)
