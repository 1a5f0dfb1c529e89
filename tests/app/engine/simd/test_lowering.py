"""Vectors are for what numba generates code for, which need not be all that the CPU has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.engine import Executable
from app.engine.program.io import save_program
from app.engine.simd import lowering

ROOT = Path(__file__).parents[4]
NODES = 40

RUN = """
import sys
import numpy as np
from app.engine import load_program
np.save(sys.argv[2], load_program(sys.argv[1]).run(np.load(sys.argv[3]), np.load(sys.argv[4])))
"""


def in_a_new_process(code, *arguments, **variables):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | variables
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NUMBA_CPU_NAME": "generic"}, "False False False False"),
        ({"NUMBA_ENABLE_AVX": "0"}, "False False False"),
        ({"NUMBA_DISABLE_JIT": "1"}, "False False False False"),
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,-avx512f"}, "True False False True"),
    ],
    ids=["generic", "no AVX", "no compiler", "AVX2 alone"],
)
def test_what_numba_is_told_not_to_use_is_not_used(variables, expected):
    code = "from app.engine.simd.lowering import *; print(AVX2, AVX512, VNNI, FMA)"
    assert in_a_new_process(code, **variables).startswith(expected)


def test_all_that_this_cpu_has_is_used_otherwise():
    code = "from llvmlite import binding; print(binding.get_host_cpu_features().get('avx2', False))"
    assert in_a_new_process(code).strip() == str(lowering.AVX2)


@pytest.mark.parametrize("bits", [8, 4])
def test_programs_run_without_a_compiler(tmp_path, kind, make_program, make, edges, bits):
    program, x = make_program(kind, 6, hidden=16, bits=bits), make(8).rng.normal(size=(NODES, 6)).astype(np.float32)
    save_program(program, tmp_path / "program")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "edges.npy", edges)
    files = [tmp_path / name for name in ("program", "logits.npy", "x.npy", "edges.npy")]
    in_a_new_process(RUN, *files, NUMBA_DISABLE_JIT="1")
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), Executable(program, "reference").run(x, edges))
