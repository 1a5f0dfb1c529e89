"""Quantized graph networks: layers, quantization, architectures, tasks; and `prepare` for networks of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.conversion import UnsupportedModel, prepare

__all__ = ["UnsupportedModel", "prepare"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: `models.seeds` alone needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models import conversion

    return getattr(conversion, name)
