"""A small program, and changes of its files, for the tests of the program format."""

from __future__ import annotations

import json

import numpy as np

from app.engine.program import io as program_io
from app.engine.program.grid import Grid, code_limits
from app.engine.program.model import IntegerProgram, Op, Value


def build(seed=0, bits=4, signed=True, width=3, rows=5):
    """quantize, linear, add, dequantize."""
    rng = np.random.default_rng(seed)
    grid = Grid(0.1, 1, 8, False)
    weight_grid = Grid(float(np.float32(0.3)), 0, bits, signed)
    qmin, qmax = code_limits(bits, signed=signed)
    weight = rng.integers(qmin, qmax + 1, (rows, width)).astype(np.int8 if signed else np.uint8)
    weight.flat[:2] = qmin, qmax
    return IntegerProgram(
        ops=(
            Op("quantize", ("x",), "codes"),
            Op("linear", ("codes",), "h", {"weight": "w", "bias": "b"}, {"weight_grid": weight_grid}),
            Op("add", ("h", "h"), "twice", attributes={"weights": (1.0, 0.5)}),
            Op("dequantize", ("twice",), "logits"),
        ),
        values={
            "x": Value("x", "node", width, None),
            "codes": Value("codes", "node", width, grid),
            "h": Value("h", "node", rows, grid),
            "twice": Value("twice", "node", rows, grid),
            "logits": Value("logits", "node", rows, None),
        },
        constants={"w": weight, "b": rng.normal(size=rows).astype(np.float32)},
        bits={"w": bits},
        manifest={"scheme": "dq", "metrics": {"accuracy": 0.81}, "seed": seed},
    )


def assert_same(got, expected):
    """Two programs have the same ops, values, constants and manifest."""
    for name in ("ops", "values", "bits", "manifest"):
        assert getattr(got, name) == getattr(expected, name)
    assert list(got.constants) == list(expected.constants)
    for name, array in expected.constants.items():
        assert got.constants[name].dtype == array.dtype
        np.testing.assert_array_equal(got.constants[name], array)


def constants_file(directory):
    """The file of constants of a saved program."""
    return next(directory.glob("constants-*.safetensors"))


def rewrite(directory, change):
    """Changes the manifest and makes its own hash fit again, as a malicious file would have it."""
    path = directory / "manifest.json"
    document = json.loads(path.read_text())
    document = change(document) or document
    document["sha256"] = program_io.manifest_digest(document)
    path.write_text(json.dumps(document))


def at(*keys, value):
    """A change of one entry of the manifest."""

    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def without(*keys):
    """A change that removes one entry of the manifest."""

    def change(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change
