"""Kernels of a GPU are compiled without one, so that an instruction that is not exact is seen here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from models.quantization.fused import gpu
from tests.ptx import instructions_of

SIZES = {"BLOCK": 1024}
SHARES = {"LOW": 0.001, "HIGH": 0.001, "STEPS": 33}
GRID = {"MARGIN": 1.1, "QMIN": -8, "QMAX": 7, "SYMMETRIC": False, "POWER_OF_TWO": True}
KERNELS = {  # types of the arguments that are no constants, in order
    "block_ends": ("*fp32 *u8 *fp32 i32 i32", {"MASKED": True, **SIZES}),
    "block_entries": ("*fp32 *u8 *i64 *fp32 *i64 i32 i32", {"SAMPLED": True, "MASKED": True, **SIZES}),
    "order_statistics": ("*fp32 *i64 i32 i32 *fp32 *i64", {**SHARES, "MOMENTUM": 0.01, **SIZES}),
    "move_range": ("*fp32 i32 *fp32", {"MOMENTUM": 0.01, **SIZES}),
    "round_in_range": ("*fp32 *u8 *fp32 *fp32 *u8 i32 i32", {**GRID, "MASKED": True, **SIZES}),
    "round_blocks": ("*fp32 *u8 *fp32 *i64 *fp32 *u8 i32 i32", {"QMIN": -8, "QMAX": 7, "MASKED": True, **SIZES}),
    "mask_blocks": ("*fp32 *u8 *fp32 i32", SIZES),
    "step_blocks": ("*fp32 *fp32 *fp32 *u8 *fp32 *fp32 i32", {"CLIPS": True, **SIZES}),
    "add_parts": ("*fp32 i32 *fp32", SIZES),
    "add_rows": ("*i32 *i32 *fp32 *fp32 *fp32 i32", {"WEIGHTED": True, "AHEAD": 8, "COLUMNS": 128}),
}


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton")
    return instructions_of("models.quantization.fused.gpu_kernels", KERNELS, gpu.EXACT, folder)


def test_all_divide_exactly(instructions):
    divisions = {name: set(re.findall(r"\b(?:div|rcp)\.\S+f\d+", text)) for name, text in instructions.items()}
    assert divisions.pop("round_blocks") == divisions.pop("round_in_range") == {"div.rn.f32"}
    assert not any(divisions.values())


def test_no_product_is_fused_with_a_sum_unless_it_says_so(instructions):
    fused = {name for name, text in instructions.items() if re.search(r"\b(?:fma|mad)\.\S*f\d+", text)}
    assert fused == {"move_range", "order_statistics"}


def test_no_sum_is_in_an_order_of_chance(instructions):
    assert not any(re.search(r"\b(?:atom|red)\.", text) for text in instructions.values())


def test_no_kernel_is_forgotten():
    source = Path(__file__).parents[4] / "models/quantization/fused/gpu.py"
    assert set(re.findall(r"(?:kernels|_kernels\(\))\.(\w+)\[", source.read_text())) == set(KERNELS)


def test_a_machine_without_triton_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    gpu.has_triton.cache_clear()
    try:
        assert [gpu.compiles(), gpu.compiles()] == [False, False]
    finally:
        gpu.has_triton.cache_clear()
    assert [record.message.split(":")[0] for record in caplog.records] == ["triton is not installed"]
