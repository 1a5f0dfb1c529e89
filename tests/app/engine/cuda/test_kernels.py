"""Kernels are compiled without a GPU, so that an instruction that is not exact is seen here."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.ptx import instructions_of, loops_of

FOLDER = "app/engine/cuda/kernels"
LIMITS = " i32 fp32 fp32"
BLOCK = {"BLOCK": 1024}
ROW = {"EDGES": 8, "COLUMNS": 128, "SPLIT": False, "PACKED": False}
CUT = {"SPLIT": True, "PACKED": True}
OF_ROWS = "*u8 *i64 *i32 *i32 *i32"
MESSAGES = " i32 i32 i32 fp32 fp32 fp32"
PARTS = "*i32 *i32 *i32 *u8 i32 *fp32"
NORMALIZED = f"*u8 *fp64 *fp64 *fp64 *u8 i32 i32 i32 fp32 *fp64 fp32{LIMITS}"
PIECES = "*u8 *i64 *i32 *i32 *fp64 *fp64 *fp64 i32 i32 i32 fp32"
MEANS = "*fp64 *i64 *i64 *fp64 *fp64 i32 i32"
TILE = {"ROWS": 64, "COLUMNS": 128, "INNER": 64}
OPERANDS, SIZES = "*fp32 *fp32 *fp32", " i32 i32 i32 i32" + LIMITS
KERNELS = {  # by module: types of the arguments that are no constants, in order
    "rows": {
        "quantize": ("*fp32 *u8 i32 fp32" + LIMITS, BLOCK),
        "pack": ("*u8 *u8 i32 i32 i32", BLOCK),
        "look_up": ("*u8 *u8 *u8 i32", BLOCK),
        "requantize": ("*u8 *fp32 *fp32 *u8 i32 i32 i32 i32" + LIMITS, BLOCK),
        "add": ("*u8 *u8 *u8 i32 i32 fp32 i32 fp32" + LIMITS, BLOCK),
    },
    "norms": {
        "normalize": (NORMALIZED, {"LENGTH": False, "ROWS": 8, "COLUMNS": 128}),
        "normalize to length one": (NORMALIZED, {"LENGTH": True, "ROWS": 8, "COLUMNS": 128}),
        "add_pieces": (PIECES, {"POWER": 1, "EDGES": 8, "COLUMNS": 128}),
        "add_pieces of squares": (PIECES, {"POWER": 2, "EDGES": 8, "COLUMNS": 128}),
        "mean_of_pieces": (MEANS, {"FACTOR": "", "PER_COLUMN": False, "PIECES": 4, "COLUMNS": 128}),
        "mean_of_pieces within": (MEANS, {"FACTOR": "within", "PER_COLUMN": True, "PIECES": 4, "COLUMNS": 128}),
        "mean_of_pieces beside": (MEANS, {"FACTOR": "beside", "PER_COLUMN": False, "PIECES": 4, "COLUMNS": 128}),
        "normalize_groups": (
            f"*u8 *i32 *fp64 *fp64 *fp64 *fp64 *fp64 *u8 i32 i32 i32 i32 fp32 fp32{LIMITS}",
            BLOCK,
        ),
    },
    "products": {
        "product": (
            f"*u8 *i8 *i32 {OPERANDS} *u8{SIZES}",
            {"ACC": "tl.int32", "SHIFTED": False, "SCALED": True, "RESULT": "codes", **TILE},
        ),
        "product of large numbers": (
            f"*u8 *i8 *i64 {OPERANDS} *fp32{SIZES}",
            {"ACC": "tl.int64", "SHIFTED": True, "SCALED": False, "RESULT": "floats", **TILE},
        ),
        "product alone": (
            f"*u8 *i8 *i32 {OPERANDS} *i32{SIZES}",
            {"ACC": "tl.int32", "SHIFTED": False, "SCALED": False, "RESULT": "acc", **TILE},
        ),
    },
    "sums": {
        "sum_rows": (
            f"{OF_ROWS} *u8 *u8 i32 *fp32 i32 fp32 fp32{LIMITS}",
            {"ACC": "tl.int32", "RESULT": "codes", **ROW},
        ),
        "sum_rows of many edges": (
            f"{OF_ROWS} *u8 *u8 i32 *fp32 i32 fp32 fp32{LIMITS}",
            {"ACC": "tl.int32", "RESULT": "codes", **ROW, "EDGES": 32, "COLUMNS": 64},
        ),
        "sum_rows of columns, packed and cut": (
            f"{OF_ROWS} *u8 *i64 i32 *fp32 i32 *fp32 *fp32{LIMITS}",
            {"ACC": "tl.int64", "RESULT": "codes of columns", **ROW, **CUT},
        ),
        "max_rows packed and cut": (f"{OF_ROWS} *u8 *i32 i32 i32", {**ROW, **CUT}),
        "weighted_sum of columns": (
            f"{OF_ROWS} *u8 *u8 i32 *fp32 *fp32{MESSAGES} *fp32 *fp32{LIMITS}",
            {"ACC": "tl.int32", "RESULT": "codes of columns", "TABLED": False, "ALONE": True, **ROW},
        ),
        "weighted_sum packed and cut": (
            f"{OF_ROWS} *u8 *i32 i32 *fp32 *u8{MESSAGES} fp32 fp32{LIMITS}",
            {"ACC": "tl.int32", "RESULT": "codes", "TABLED": True, "ALONE": False, **ROW, **CUT},
        ),
        "join": (f"{PARTS} fp32 fp32{LIMITS}", {"RESULT": "codes", "EDGES": 8, "COLUMNS": 128}),
        "join of columns": (
            f"{PARTS} *fp32 *fp32{LIMITS}",
            {"RESULT": "codes of columns", "EDGES": 8, "COLUMNS": 128},
        ),
        "join of maxima": (f"{PARTS} fp32 fp32{LIMITS}", {"RESULT": "largest", "EDGES": 8, "COLUMNS": 128}),
    },
    "attention": {
        "attention_logits": ("*i32 *i32 *i32 *u8 i32 i32 fp32" + LIMITS, BLOCK),
        "dynamic_logits": (
            "*u8 *u8 *i16 *i32 *i32 *u8 i32 i32 i32 i32 fp32 fp32" + LIMITS,
            {"ACC": "tl.int32", "PACKED": False, "BLOCK": 64, "CHANNELS": 32},
        ),
        "dynamic_logits packed": (
            "*u8 *u8 *i16 *i32 *i32 *u8 i32 i32 i32 i32 fp32 fp32" + LIMITS,
            {"ACC": "tl.int64", "PACKED": True, "BLOCK": 64, "CHANNELS": 32},
        ),
        "softmax": ("*u8 *fp32 *i64 *u8 *fp32 i32 i32 i32", {"BLOCK": 128}),
        "shares": ("*u8 *fp32 *i32 *u8 *fp32 *fp32 i32 i32 i32", BLOCK),
    },
}


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    exact = import_module("app.engine.cuda.launch").EXACT
    made = {}
    for module, kernels in KERNELS.items():
        name = f"{FOLDER.replace('/', '.')}.{module}"
        made |= instructions_of(name, kernels, exact, tmp_path_factory.mktemp("triton"))
    return made


def test_all_divide_exactly(instructions):
    divisions = {name: set(re.findall(r"\b(?:div|rcp)\.\S+f\d+", text)) for name, text in instructions.items()}
    for name in ("quantize", "shares", "normalize_groups"):
        assert divisions.pop(name) == {"div.rn.f32"}
    for name in ("normalize", "normalize to length one"):
        assert divisions.pop(name) == {"div.rn.f32", "div.rn.f64"}
    for name in ("mean_of_pieces", "mean_of_pieces within", "mean_of_pieces beside"):
        assert divisions.pop(name) == {"div.rn.f64"}
    roots = {root for text in instructions.values() for root in re.findall(r"\bsqrt\.\S+", text)}
    assert roots == {"sqrt.rn.f64"}
    assert not any(divisions.values())


def test_no_product_is_fused_with_a_sum_and_no_small_number_becomes_zero(instructions):
    fused = {name for name, text in instructions.items() if re.search(r"\b(?:fma|mad)\.\S*f\d+|\.ftz", text)}
    assert not fused


def test_no_sum_is_in_an_order_of_chance(instructions):
    assert not any(re.search(r"\b(?:atom|red)\.", text) for text in instructions.values())


def test_products_are_of_int8_on_tensor_cores(instructions):
    products = {name for name, text in instructions.items() if re.search(r"mma\S*\.s32\.s8\.s8", text)}
    assert products == set(KERNELS["products"])


def test_lanes_of_sums_do_not_meet_in_the_loop_over_edges(instructions):
    """They are added up once behind it. Only weights of heads are moved to where codes lie that were packed."""
    meeting = {}
    for name in KERNELS["sums"]:
        loops = loops_of(instructions[name])
        assert loops, name
        meeting[name] = set(re.findall(r"\b(shfl|redux|bar|ld\.shared|st\.shared)\b", "".join(loops)))
    assert meeting.pop("weighted_sum packed and cut") <= {"bar", "ld.shared", "st.shared"}
    assert not any(meeting.values()), meeting


def test_no_kernel_is_forgotten():
    for module, kernels in KERNELS.items():
        source = (Path(__file__).parents[4] / FOLDER / f"{module}.py").read_text()
        assert set(re.findall(r"@triton.jit\ndef (\w+)", source)) == {name.partition(" ")[0] for name in kernels}
