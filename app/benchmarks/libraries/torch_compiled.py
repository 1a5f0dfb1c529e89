"""torch.compile of the network of PyG layers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from app.benchmarks.peers.pyg import PyGNetwork
from app.benchmarks.workloads import Inputs
from models.architectures import Architecture


def missing() -> str | None:
    """Returns what is not installed, as words; None: all is there."""
    compilers = os.environ.get("CXX", ""), "g++", "clang++"
    return None if any(map(shutil.which, filter(None, compilers))) else "there is no C++ compiler"


def forward_of(network: Architecture, inputs: Inputs) -> Callable[[], Any]:
    """Returns the forward of a network, which its first call compiles for the sizes of the inputs."""
    compiled = torch.compile(PyGNetwork(network).eval().to(inputs.x.device), dynamic=False)
    return lambda: compiled(inputs.x, inputs.edge_index)
