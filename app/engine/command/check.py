"""`check`: compares the results of this CPU, or of a GPU, with the reference."""

from __future__ import annotations

import argparse

import numpy as np

from .. import CPU
from ..executor import Executable
from ..program.check import ProgramError
from ..program.io import read_program
from ..program.model import OUTPUT
from .samples import samples


def run(options: argparse.Namespace) -> None:
    """Reads `options.program` and compares its codes on generated inputs, on `options.device`, with the reference's.

    Raises:
        ValueError: if the program is damaged, a code differs, or there is no such device.
    """
    program = read_program(options.program)
    compiled, reference, codes = Executable(program, device=options.device), Executable(program, "reference"), 0
    who = "this CPU" if options.device == CPU else options.device
    for kind, x, graph in samples(program):
        expected = reference.trace(x, graph)
        traced = compiled.trace(x, graph)
        for name, value in traced.items():
            coded = value.dtype != np.float32
            codes += value.size if coded else 0
            if coded and not np.array_equal(value, expected[name]):
                raise ProgramError(f"{name}: on {kind}, {who}'s codes differ from those of the reference")
        if not np.array_equal(compiled.run(x, graph), traced[OUTPUT]):
            raise ProgramError(f"{OUTPUT}: on {kind}, {who} computes a program otherwise than its ops one by one")
    print(f"{options.program}: sound, {len(program.ops)} ops; {codes:,} codes equal those of the reference")
