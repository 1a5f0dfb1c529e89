"""What a backend of the engine offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.engine.bound import BoundOp
from app.engine.features import Features
from models.quantization.program import Value

Run = Callable[..., Any]
"""run(graph, *inputs) -> output, in the backend's own form of values."""


@dataclass(frozen=True)
class Backend:
    """One way to run ops.

    Args:
        read: checked features in the backend's own form.
        prepare: an op made ready to run on some workers (default: the caller's thread), its constants brought into the
            form the backend wants.
        messages: the same for the message codes of a weighted_sum [E, H * C], which `trace` shows.
        export: a value as NumPy: float32, or codes on the given grid.
        take: such codes in the backend's own form.
    """

    read: Callable[[Features], Any]
    prepare: Callable[..., Run]
    messages: Callable[[BoundOp], Run]
    export: Callable[[Any, Value], np.ndarray]
    take: Callable[[np.ndarray, Value], Any]
