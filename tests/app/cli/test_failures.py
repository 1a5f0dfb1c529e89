from __future__ import annotations

import numpy as np
import pytest
import torch

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
    allocate: object, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit, "fit", lambda options, rest: allocate())  # type: ignore[operator]
    assert main(["fit", "--cell", "synthetic/gcn/fp32"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: out of memory")
    assert says in err


def test_what_is_no_failure_of_the_machine_stays_what_it_is() -> None:
    assert failure_of_machine(RuntimeError("mat1 and mat2")) is None
    assert failure_of_machine(ValueError("out of memory")) is None
