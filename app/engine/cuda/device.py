"""The device that a program runs on: what its name may be, and what is kept there."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..graph import Graph
from ..ops.bound import GraphArray

INTERPRETED = "interpreter"
"""The device that is none: Triton's interpreter runs the kernels on the CPU. It is slow, and there for tests."""


Found = TypeVar("Found")


class Device:
    """Where values, constants and the arrays of graphs lie.

    Args:
        place: of torch.
    """

    def __init__(self, place: torch.device) -> None:
        self.place = place
        self._graphs: WeakKeyDictionary[Graph, dict[Hashable, Any]] = WeakKeyDictionary()
        self._features: Any = WeakTensorKeyDictionary()

    def put(self, array: np.ndarray) -> Tensor:
        """Returns an array on the device; nothing writes to it."""
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.place)

    def empty(self, *shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
        """Returns a tensor of unknown content."""
        return torch.empty(shape, dtype=dtype, device=self.place)

    def of(self, array: GraphArray, graph: Graph) -> Tensor:
        """Returns an array of a graph, which stays on the device as long as there is the graph."""
        return self.kept(graph, array, lambda: self.put(array.of(graph)))

    def kept(self, graph: Graph, name: Hashable, make: Callable[[], Found]) -> Found:
        """Returns what is made once of a graph, as long as there is the graph."""
        of_graph = self._graphs.setdefault(graph, {})
        if name not in of_graph:
            of_graph[name] = make()
        found: Found = of_graph[name]
        return found

    def asked_once(self, x: Tensor, ask: Callable[[Tensor], Found]) -> Found:
        """Returns ask(x), for which the host waits; once as long as there is the tensor and nothing writes to it."""
        if x.is_inference():  # torch does not know whether it was written to
            return ask(x)
        answers = self._features.setdefault(x, {})
        key = ask, x._version
        if key not in answers:
            answers[key] = ask(x)
        found: Found = answers[key]
        return found

    @contextmanager
    def current(self) -> Iterator[None]:
        """A block in which kernels start on this device.

        Raises:
            MemoryError: if its memory is full.
        """
        try:
            with torch.cuda.device(self.place) if self.place.type == "cuda" else nullcontext():
                yield
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"the memory of {self.place} is full: give it fewer nodes and edges at once") from error


@cache
def device_of(name: str) -> Device:
    """Returns the device with this name: "cuda", "cuda:N" or "interpreter".

    Raises:
        ValueError: if there is no such device, or something that it needs.
    """
    if name != INTERPRETED and not (name == "cuda" or (name.startswith("cuda:") and name[5:].isdecimal())):
        raise ValueError(f"device: expected 'cpu', 'cuda', 'cuda:N' or {INTERPRETED!r}, got {name!r}")
    if find_spec("triton") is None:
        raise ValueError(f"device: {name!r} needs Triton, which is not installed")
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if name == INTERPRETED:
        if not interpreted:
            raise ValueError(f"device: {name!r} needs TRITON_INTERPRET=1 in the environment from the start")
        return Device(torch.device("cpu"))
    if not torch.cuda.is_available():
        raise ValueError(f"device: torch finds no GPU with CUDA here, so {name!r} cannot be used")
    if interpreted:
        raise ValueError(f"device: {name!r} compiles kernels, which TRITON_INTERPRET=1 forbids; unset it")
    place = torch.device(name)
    if (place.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: there are {torch.cuda.device_count()} GPUs here, numbered from 0, got {name!r}")
    return Device(place)
