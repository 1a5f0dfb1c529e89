"""What a run computes on: what `auto` chooses, where several processes meet, and how long one waits for another."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cached_property
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.lsf import LSFEnvironment
from lightning_fabric.plugins.environments.mpi import MPIEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, but in no `__all__`

from app.errors import UserError

AUTO = "auto"

CLUSTERS: tuple[type[ClusterEnvironment], ...] = (
    TorchElasticEnvironment,
    SLURMEnvironment,
    LSFEnvironment,
    MPIEnvironment,
)
"""What may have started a process and says of the others; Lightning looks for these as well."""

TIMEOUT = "DEGREE_QUANT_TIMEOUT"
"""The environment variable that bounds how long a process waits for another one."""


class OwnProcesses(LightningEnvironment):
    """The processes that a run starts itself, on one machine.

    The first listens from the moment its port is chosen. Lightning's own choice is free again at once: of two runs
    that begin together one finds its port taken, seconds later.
    """

    @cached_property
    def _listening(self) -> TCPStore:
        """A store on a port that the system chooses; torch meets there, as one process has one server a port."""
        return TCPStore(self.main_address, 0, is_master=True, wait_for_workers=False, multi_tenant=True)

    @property
    def main_port(self) -> int:
        """The port on which the first process listens: MASTER_PORT, as it says to the others, or one of its own.

        Raises:
            UserError: if MASTER_PORT is no port.
        """
        said = os.environ.get("MASTER_PORT")
        if not said:
            return int(self._listening.port)
        if not said.isdecimal() or not 0 < int(said) < 1 << 16:
            raise UserError(f"MASTER_PORT: expected a port, a whole number from 1 to 65535, got {said!r}")
        return int(said)


def started_by_a_cluster() -> bool:
    """Whether torchrun or a cluster has started this process, so that it says where processes meet."""
    return any(cluster.detect() for cluster in CLUSTERS)


def choose(setting: object) -> object:
    """Returns the accelerator for a setting: `auto` is CUDA if there is a GPU with it, else the CPU.

    Lightning's own `auto` also takes Apple's GPUs (MPS), which have neither sparse matrices nor float64.
    """
    if setting != AUTO:
        return setting
    return "cuda" if CUDAAccelerator.is_available() else "cpu"


def in_words(device: torch.device) -> str:
    """Returns `cpu`, or `cuda` with the name of the GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def device_called(name: str) -> torch.device:
    """Returns the device `cpu` or `cuda`.

    Raises:
        UserError: for a GPU that this machine does not have.
    """
    if name == "cpu":
        return torch.device(name)
    if not CUDAAccelerator.is_available():
        raise UserError("--device cuda: torch finds no GPU with CUDA here; leave --device out for the CPU")
    return torch.device(name, torch.cuda.current_device())


def what_was_chosen(setting: object, device: torch.device) -> str:
    """Returns in a sentence what `auto` has chosen; empty if it was not asked, or there was nothing to choose from."""
    if setting != AUTO or not (CUDAAccelerator.is_available() or MPSAccelerator.is_available()):
        return ""
    if device.type == "cpu":
        return "trainer.accelerator auto: the CPU, as Apple's GPU has neither sparse matrices nor float64"
    return f"trainer.accelerator auto: {in_words(device)}; give cpu for the CPU"


def what_is_less_exact(device: torch.device) -> str:
    """Returns in a sentence that products on a GPU are of TF32; empty if they are not, as torch's default is."""
    matmul: Any = torch.backends.cuda.matmul
    # torch from 2.9 on refuses to answer the older question once the newer setting was used
    is_tf32 = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    if device.type != "cuda" or not is_tf32:
        return ""
    return (
        "torch is set to multiply in TF32, of 10 bits, which a program does not: exactness may suffer; "
        "torch.set_float32_matmul_precision('highest'), and no TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, for float32"
    )


def patience() -> timedelta | None:
    """Returns how long a process waits for another one (TIMEOUT, in seconds); None: as long as torch does.

    Raises:
        UserError: if it is not a number above 0.
    """
    text = os.environ.get(TIMEOUT)
    if not text:
        return None
    try:
        time = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        time = timedelta()
    if time <= timedelta():
        raise UserError(f"{TIMEOUT}: expected seconds above 0, got {text!r}")
    return time
