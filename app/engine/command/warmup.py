"""`warmup`: compiles what programs need, for every kind of input."""

from __future__ import annotations

import argparse

from ..compilation import compile_note
from ..executor import Executable
from ..program.io import read_program
from .samples import large_graph, samples


def run(options: argparse.Namespace) -> None:
    """Runs `options.program`, several of them, on generated inputs of all kinds, and says how long kernels compiled."""
    for path in options.program:
        program = read_program(path)
        executable = Executable(program, threads=options.threads or 1, device=options.device)
        kinds = list(samples(program))
        for _, x, graph in kinds:
            executable.run(x, graph)
            executable.run_in_stages(x, graph)
            executable.trace(x, graph)  # its values are those of single ops: other kernels than stages have
        executable.run(kinds[0].x, large_graph(program))
        print(f"{path}: ready for {len(kinds)} kinds of input")
    print(compile_note())
