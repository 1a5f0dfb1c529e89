"""What LLVM makes of kernels for ARM, which is read, not run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from app.engine.kernels.products import ROWS

ROOT = Path(__file__).parents[4]
COLUMNS = 16
"""Of a tile on ARM: half of 32 registers hold ROWS rows of four registers."""


def knows_arm() -> bool:
    llvm.initialize_all_targets()
    try:
        return bool(llvm.Target.from_triple("aarch64-unknown-linux-gnu"))
    except RuntimeError:
        return False


@pytest.mark.skipif(not knows_arm(), reason="this LLVM does not compile for ARM")
@pytest.mark.parametrize(
    ("features", "multiplies"),
    [
        ("+neon", r"smull2?\tv\d+\.8h"),
        ("+neon,+dotprod", r"sdot\tv\d+\.4s"),
        ("+neon,+dotprod,+i8mm", r"usdot\tv\d+\.4s"),
    ],
    ids=["NEON", "DOTPROD", "I8MM"],
)
def test_kernels_become_vector_instructions_of_arm(features, multiplies):
    command = [sys.executable, "-m", "tests.app.engine.simd.cross", features]
    run = subprocess.run(command, env=os.environ, cwd=ROOT, capture_output=True, text=True, check=True)
    linear, sums = run.stdout.split("the next kernel")
    registers = ROWS * COLUMNS // 4
    products = len(re.findall(r"\t" + multiplies, linear))
    assert products == registers * (1 if "dotprod" in features else 2)  # one group of inputs for the whole tile
    assert len(re.findall(r"\tfcvtns\tv\d+\.4s", linear)) == registers
    assert len(re.findall(r"\tsqxtu?n2?\tv", linear)) == registers + registers // 2
    added = re.findall(r"\t(?:add|usra)\tv\d+\.8h", sums)
    assert len(added) >= 2 * 128 // 16  # two sums for each of 128 columns, in registers of 16 bytes
