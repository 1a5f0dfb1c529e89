"""What a backend of the engine offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..features import Features
from ..graph import Graph
from ..program.model import Value
from ..workers import Workers
from .bound import BoundOp

Run = Callable[..., Any]
"""run(graph, *inputs) -> output, in the backend's own form of values."""


class Stage(Protocol):
    """Ops that are run together."""

    @property
    def ops(self) -> Sequence[BoundOp]:
        """In their order."""

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those results, by name, that are read outside; `values` holds what the ops read from there."""


@dataclass(frozen=True)
class Backend:
    """One way to run ops.

    Args:
        read: features in the backend's own form.
        stages: a program's ops made ready to run on some workers, in their order: together where that is faster, or
            (third argument False) one by one, so that every value is seen.
        messages: what computes the message codes of a weighted_sum [E, H * C], which `trace` shows.
        export: a value as NumPy: float32, or codes on the given grid.
        take: such codes in the backend's own form.
    """

    read: Callable[[Features], Any]
    stages: Callable[[Sequence[BoundOp], Workers, bool], Sequence[Stage]]
    messages: Callable[[BoundOp], Run]
    export: Callable[[Any, Value], np.ndarray]
    take: Callable[[np.ndarray, Value], Any]
