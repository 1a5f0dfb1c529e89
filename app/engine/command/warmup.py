"""`warmup`: compiles what programs need, for every kind of input."""

from __future__ import annotations

import argparse

from ..compilation import compile_note
from ..executor import Executable
from ..program.io import read_program
from .samples import samples


def run(options: argparse.Namespace) -> None:
    """Runs `options.program`, several of them, on generated inputs of all kinds, and says how long kernels compiled."""
    for path in options.program:
        program = read_program(path)
        executable = Executable(program, threads=options.threads)
        number = sum(executable.run(sample.x, sample.graph) is not None for sample in samples(program))
        print(f"{path}: ready for {number} kinds of input")
    print(compile_note())
