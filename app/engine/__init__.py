"""The integer engine: runs programs on a CPU. It stands alone: relative imports, no torch, nothing of this project.

Every room may import it. What a caller needs is loaded when it is first asked for, so that whoever only reads or writes
programs (`program`) or files (`files`) waits for no compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compilation import compile_seconds
    from .executor import Executable, load_program
    from .graph import Graph

__all__ = ["Executable", "Graph", "compile_seconds", "load_program"]

_HOMES = {"Executable": "executor", "Graph": "graph", "compile_seconds": "compilation", "load_program": "executor"}


def __getattr__(name: str) -> Any:
    """Loads what was asked for, and keeps it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
