"""`check`: compares this CPU's results with the reference."""

from __future__ import annotations

import argparse

import numpy as np

from ..executor import Executable
from ..program.check import ProgramError
from ..program.io import read_program
from .samples import samples


def run(options: argparse.Namespace) -> None:
    """Reads `options.program` and compares its codes on generated inputs with those of the reference.

    Raises:
        ValueError: if the program is damaged, or a code differs.
    """
    program = read_program(options.program)
    compiled, reference, codes = Executable(program), Executable(program, "reference"), 0
    for kind, x, graph in samples(program):
        expected = reference.trace(x, graph)
        for name, value in compiled.trace(x, graph).items():
            coded = value.dtype != np.float32
            codes += value.size if coded else 0
            if coded and not np.array_equal(value, expected[name]):
                raise ProgramError(f"{name}: on {kind}, this CPU's codes differ from those of the reference")
    print(f"{options.program}: sound, {len(program.ops)} ops; {codes:,} codes equal those of the reference")
