"""The integer engine: runs integer programs on a CPU. Every room may import it.

It stands alone: it imports nothing else of this project, names its own modules relatively and needs no torch. The names
in `__all__` are imported on first use, so that code that only needs `program` or `files` never waits for the compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compilation import compile_seconds
    from .executor import Executable, load_program
    from .graph import Graph

__version__ = "0.2.0"

__all__ = ["Executable", "Graph", "compile_seconds", "load_program"]

CPU = "cpu"
"""The device that needs nothing."""

MOST_THREADS = 1024
"""More than processors have; with 100,000 the process ends in the system's want of memory, or in a crash."""

_MODULES = {"Executable": "executor", "Graph": "graph", "compile_seconds": "compilation", "load_program": "executor"}


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` on first use and keeps it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All names, those that are not imported yet among them."""
    return sorted({*globals(), *__all__})
