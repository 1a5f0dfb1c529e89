"""Vectors are for what numba generates code for, which need not be all that the CPU has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from app.engine import Executable
from app.engine.program.io import save_program
from app.engine.simd import target

ROOT = Path(__file__).parents[4]
NODES = 40

RUN = """
import sys
import numpy as np
from app.engine import load_program
np.save(sys.argv[2], load_program(sys.argv[1]).run(np.load(sys.argv[3]), np.load(sys.argv[4])))
"""

TRACE = """
import sys
import numpy as np
from app.engine import load_program
for folder in sys.argv[3:]:
    np.savez(folder + ".npz", **load_program(folder).trace(np.load(sys.argv[1]), np.load(sys.argv[2])))
"""


def in_a_new_process(code, *arguments, **variables):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | variables
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


AVX2 = "+ssse3,+sse4.1,+avx,+avx2,+fma"
TARGETS = {
    "generic": ({}, 128, ["dot_words"]),
    "SSSE3": ({"NUMBA_CPU_FEATURES": "+ssse3"}, 128, ["dot_words", "dot_bytes"]),
    "AVX2": ({"NUMBA_CPU_FEATURES": AVX2 + ",-avx512f"}, 256, ["dot_words", "dot_bytes"]),
    "AVX2 with VNNI": ({"NUMBA_CPU_FEATURES": AVX2 + ",+avxvnni"}, 256, ["dot_words", "dot_bytes", "dot_vnni"]),
}


@pytest.mark.skipif(not target.X86, reason="names instruction sets of x86")
@pytest.mark.parametrize(("variables", "bits", "dots"), TARGETS.values(), ids=TARGETS)
def test_what_numba_is_told_not_to_use_is_not_used(variables, bits, dots):
    code = (
        "from app.engine.simd import dots, target; print(target.REGISTER_BITS, target.FMA, [str(d) for d in dots.DOTS])"
    )
    found = in_a_new_process(code, NUMBA_CPU_NAME="generic", **variables)
    assert found.strip() == f"{bits} {bits > 128} {dots}"


def test_no_avx():
    code = "from app.engine.simd import target; print(target.REGISTER_BITS, target.VNNI)"
    assert in_a_new_process(code, NUMBA_ENABLE_AVX="0").strip() == "128 False"


def test_no_vectors_without_a_compiler():
    code = "from app.engine.kernels import dispatch; print(dispatch.VECTORS)"
    assert in_a_new_process(code, NUMBA_DISABLE_JIT="1").strip() == "False"


def test_all_that_this_cpu_has_is_used_otherwise():
    features = binding.get_host_cpu_features()
    assert (features.get("avx2", False), features.get("dotprod", False)) == (target.AVX2, target.DOTPROD)


@pytest.mark.parametrize("bits", [8, 4])
def test_programs_run_without_a_compiler(tmp_path, kind, make_program, make, edges, bits):
    program, x = make_program(kind, 6, hidden=16, bits=bits), make(8).rng.normal(size=(NODES, 6)).astype(np.float32)
    save_program(program, tmp_path / "program")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "edges.npy", edges)
    files = [tmp_path / name for name in ("program", "logits.npy", "x.npy", "edges.npy")]
    in_a_new_process(RUN, *files, NUMBA_DISABLE_JIT="1")
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), Executable(program, "reference").run(x, edges))


@pytest.mark.skipif(not target.AVX2, reason="forces what an x86 with AVX2 can run")
@pytest.mark.parametrize("features", ["+sse2", AVX2 + ",-avx512f"], ids=["SSE2", "AVX2"])
def test_every_size_of_register_gives_the_codes_of_the_reference(tmp_path, make_program, make, edges, features):
    programs = {
        "messages": make_program("gcn_edge", 6, hidden=136),
        "nibbles": make_program("gcn_edge", 6, hidden=136, bits=4),
        "attention": make_program("gat", 6, hidden=16),
    }
    x = make(8).rng.normal(size=(NODES, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "edges.npy", edges)
    for name, program in programs.items():
        save_program(program, tmp_path / name)
    files = [tmp_path / name for name in ("x.npy", "edges.npy", *programs)]
    in_a_new_process(TRACE, *files, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features)
    for name, program in programs.items():
        computed = np.load(tmp_path / f"{name}.npz")
        for value, expected in Executable(program, "reference").trace(x, edges).items():
            np.testing.assert_array_equal(computed[value], expected, err_msg=f"{name}: {value}")
