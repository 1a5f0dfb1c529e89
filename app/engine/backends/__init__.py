"""The backends by name, and the device that each runs on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from .. import CPU
from ..ops.backend import Backend
from ..ops.compiled import COMPILED
from ..ops.reference import REFERENCE

BACKENDS: Mapping[str, Backend] = {"compiled": COMPILED, "reference": REFERENCE}
"""Those of the CPU."""


def backend_of(name: str, device: str) -> Backend:
    """Returns the backend with this name on a device.

    Raises:
        ValueError: if there is no such backend or device, or the one does not run on the other.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    if device == CPU:
        return BACKENDS[name]
    if name != "compiled":
        raise ValueError(f"device: the {name} backend runs on the CPU only, got {device!r}")
    if find_spec("torch") is None:
        raise ValueError(f"device: {device!r} needs torch, which is not installed")
    from ..cuda.device import device_of  # nothing else needs torch

    device_of(device)  # before kernels are imported, which need Triton
    from ..cuda.backend import backend_on

    return backend_on(device)
