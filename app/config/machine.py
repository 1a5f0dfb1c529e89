"""What a run computes on: what `auto` chooses, and how long several processes wait for each other."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from app.errors import UserError

AUTO = "auto"

TIMEOUT = "DEGREE_QUANT_TIMEOUT"
"""The environment variable that bounds how long a process waits for another one."""


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
