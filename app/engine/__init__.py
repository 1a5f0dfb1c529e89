"""The integer engine: runs programs that models were lowered to, on a CPU, without torch."""

from app.engine.compilation import compile_seconds
from app.engine.executor import Executable, load_program
from app.engine.graph import Graph

__all__ = ["Executable", "Graph", "compile_seconds", "load_program"]
