"""Saving and reading programs: round trip, interruptions, damage, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.engine import load_program
from app.engine.program import io as program_io
from app.engine.program.grid import Grid, code_limits
from app.engine.program.io import ProgramError, read_program, save_program
from app.engine.program.model import IntegerProgram, Op, Value

ROOT = Path(__file__).parents[4]


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
    for name in ("ops", "values", "bits", "manifest"):
        assert getattr(got, name) == getattr(expected, name)
    assert list(got.constants) == list(expected.constants)
    for name, array in expected.constants.items():
        assert got.constants[name].dtype == array.dtype
        np.testing.assert_array_equal(got.constants[name], array)


def is_same(got, expected):
    try:
        assert_same(got, expected)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shape", [(3, 5), (4, 6), (1, 1)])
def test_round_trip(tmp_path, bits, signed, shape):
    program = build(0, bits, signed, 3 if shape[0] == 1 else shape[0], shape[1])
    directory = save_program(program, tmp_path / "deep" / "model")
    assert directory == tmp_path / "deep" / "model"
    assert_same(read_program(directory), program)
    assert_same(read_program(directory / "manifest.json"), program)


def test_few_bits_take_half_a_byte(tmp_path):
    sizes = []
    for bits in (4, 8):
        directory = save_program(build(bits=bits, width=400, rows=100), tmp_path / str(bits))
        sizes.append(next(directory.glob("constants-*")).stat().st_size)
    assert sizes[1] - sizes[0] == pytest.approx(400 * 100 / 2, abs=64)  # the headers differ a little


def test_everything_lies_in_two_files_named_by_content(tmp_path):
    save_program(build(0), tmp_path)
    save_program(build(1), tmp_path)
    assert_same(read_program(tmp_path), build(1))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    content = (tmp_path / manifest["constants_file"]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["constants_file"] == f"constants-{digest[:12]}.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", manifest["constants_file"]}


def test_free_form_manifest_is_read_as_json_sees_it(tmp_path):
    manifest = {"widths": (1, 2), "by_bits": {8: 0.5, 4: 0.25, 16: 1}}
    program = save_program(replace(build(), manifest=manifest), tmp_path)
    assert read_program(program).manifest == {"widths": [1, 2], "by_bits": {"8": 0.5, "4": 0.25, "16": 1}}


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("step", range(8))
def test_an_interrupted_save_leaves_the_old_or_the_new_program(tmp_path, monkeypatch, step):
    old, new = build(0), build(1)
    save_program(old, tmp_path)
    calls = []

    def interrupted(function):
        def call(*args, **kwargs):
            calls.append(function)
            if len(calls) > step:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (os, "replace"), (Path, "open"), (Path, "unlink")):
            patch.setattr(owner, name, interrupted(getattr(owner, name)))
        try:
            save_program(new, tmp_path)
        except Killed:
            pass
        else:
            assert len(calls) <= step
    got = read_program(tmp_path)
    assert is_same(got, old) or is_same(got, new)
    assert is_same(got, old if step < 6 else new)
    save_program(new, tmp_path)
    assert_same(read_program(tmp_path), new)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_program_that_is_refused_leaves_the_old_one(tmp_path):
    save_program(build(0), tmp_path)
    for bad in (replace(build(1), manifest={"loss": float("nan")}), replace(build(1), constants={})):
        with pytest.raises(ProgramError):
            save_program(bad, tmp_path)
    assert_same(read_program(tmp_path), build(0))


def constants_file(directory):
    return next(directory.glob("constants-*.safetensors"))


@pytest.mark.parametrize("name", ["manifest.json", "constants"])
def test_flipped_bytes_are_found(tmp_path, name):
    """Whatever byte is damaged: the very same program, or a ProgramError."""
    program = build(3)
    save_program(program, tmp_path)
    path = tmp_path / name if name == "manifest.json" else constants_file(tmp_path)
    content, rng, refused = path.read_bytes(), np.random.default_rng(5), 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert_same(read_program(tmp_path), program)
        except ProgramError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("name", ["manifest.json", "constants"])
def test_cut_files_are_refused(tmp_path, name):
    save_program(build(), tmp_path)
    path = tmp_path / name if name == "manifest.json" else constants_file(tmp_path)
    content = path.read_bytes()
    for size in (*range(0, len(content), 40), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ProgramError):
            read_program(tmp_path)


def test_absent_files_are_refused(tmp_path):
    with pytest.raises(ProgramError, match=r"manifest\.json: cannot be read: No such file"):
        read_program(tmp_path)
    save_program(build(), tmp_path)
    constants_file(tmp_path).unlink()
    with pytest.raises(ProgramError, match=r"constants-.*cannot be read: No such file"):
        read_program(tmp_path)


def rewrite(directory, change):
    """Changes the manifest and makes its own hash fit again: a malicious file, not a damaged one."""
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
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


GRID = {"scale": 0.1, "zero_point": 1, "bits": 8, "signed": False}
HUGE = int("9" * 4000)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (at("format", value="onnx"), "format: expected 'degree-quant-program', got 'onnx'"),
        (at("version", value=2), "version: this release reads 1, got 2"),
        (lambda document: {"version": 9, "new": 1}, "format: expected"),
        (at("extra", value=1), "manifest: 'extra' is unknown"),
        (without("ops"), "manifest: 'ops' is missing"),
        (at("ops", value={}), "manifest: ops has a wrong type, dict"),
        (at("ops", 0, value=3), "op 0: expected a record, got int"),
        (at("ops", 1, "kind", value="conv"), r"op 1 \(conv\): unknown kind of op"),
        (at("ops", 1, "inputs", value=["nope"]), r"op 1 \(linear\): value 'nope' is missing"),
        (at("ops", 1, "inputs", value=[1]), r"op 1: inputs: expected names, got \[1\]"),
        (at("ops", 1, "tensors", "weight", value=[]), "op 1: tensors: expected names"),
        (at("ops", 1, "tensors", "weight", value="nope"), "constant 'nope' is missing"),
        (at("ops", 1, "grids", "weight_grid", value=[]), "op 1: weight_grid: expected a record, got list"),
        (at("ops", 2, "attributes", value={"weights": [1.0, "a"]}), "weights must be finite floats"),
        (at("values", 1, "domain", value="moon"), "value 'codes': unknown domain 'moon'"),
        (at("values", 1, "width", value=True), "value 1: width has a wrong type, bool"),
        (at("values", 1, "width", value=0), "value 'codes': width must be a positive int, got 0"),
        (at("values", 1, "width", value=HUGE), "needs inputs and output equally wide"),
        (at("values", 1, "name", value="h"), "values: two of them have one name"),
        (at("values", 1, "grid", value=GRID | {"bits": 9}), "bits must be 2 to 8, got 9"),
        (at("values", 1, "grid", value=GRID | {"scale": 1}), "grid: scale has a wrong type, int"),
        (at("values", 1, "grid", value=GRID | {"scale": float("nan")}), "scale must be a float from"),
        (at("values", 1, "grid", value=GRID | {"scale": float("inf")}), "scale must be a float from"),
        (at("constants", "w", "dtype", value="float64"), "constant 'w': unknown dtype 'float64'"),
        (at("constants", "w", "shape", value=[0, 3]), "constant 'w': shape must be one or two positive"),
        (
            at("constants", "w", "shape", value=[HUGE, HUGE]),
            "constant 'w': shape must be one or two positive",
        ),
        (at("constants", "w", "shape", value=[1] * 3), "constant 'w': shape must be one or two positive"),
        (at("constants", "w", "shape", value=[3, 5]), r"'w' must have shape \(5, 3\), got \(3, 5\)"),
        (at("constants", "w", "shape", value=[5, 4]), "constant 'w': expected .* the file has"),
        (at("constants", "w", "shape", value=[2**20, 2**20]), "constants: .* bytes are more than the"),
        (at("constants", "w", "shape", value=[2**10, 2**10]), "bytes cannot hold the"),
        (at("constants", "w", "bits", value=None), "bits None do not go with int8"),
        (at("constants", "w", "bits", value=9), "bits 9 do not go with int8"),
        (at("constants", "b", "bits", value=8), "bits 8 do not go with float32"),
        (at("constants", "w", "bits", value=8), "constant 'w': expected .* the file has"),
        (at("constants", "w", "bits", value=3), "constant 'w' holds a code outside its 3 bits"),
        (at("constants", "w", "dtype", value="uint8"), "does not have the dtype and bits of its grid"),
        (
            at("constants", "w", "sha256", value="0" * 64),
            "constant 'w': its content does not match its sha256",
        ),
        (without("constants", "w"), "constant 'w' is missing in the manifest"),
        (
            at("constants", "v", value={"dtype": "int8", "shape": [1], "bits": 8, "sha256": ""}),
            "constant 'v' is missing in constants-",
        ),
        (at("constants_sha256", value="0" * 64), "its content does not match the sha256 in the manifest"),
        (
            at("constants_file", value="../constants-000000000000.safetensors"),
            "constants_file: '../constants-",
        ),
        (at("constants_file", value="/etc/passwd"), "constants_file: '/etc/passwd' is not"),
        (at("constants_file", value="constants-000000000000.safetensors"), "cannot be read: No such file"),
    ],
)
def test_refused_files(tmp_path, change, sentence):
    save_program(build(), tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ProgramError, match=sentence):
        read_program(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "manifest: not readable as JSON"),
        ("[" * 100_000, "manifest: not readable as JSON"),
        ('{"format": "degree-quant-program", "version": 1, "x": ' + "9" * 5000 + "}", "not readable as JSON"),
        ("[1]", "format: expected"),
        ('{"format": {}}', "format: expected"),
    ],
)
def test_refused_manifests(tmp_path, text, sentence):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ProgramError, match=sentence):
        read_program(tmp_path)


def test_a_manifest_changed_by_hand_is_refused(tmp_path):
    save_program(build(), tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"accuracy": 0.81', '"accuracy": 0.91'))
    with pytest.raises(ProgramError, match="manifest: its content does not match its sha256"):
        read_program(tmp_path)


def pooling(**attributes):
    """quantize, pool, dequantize."""
    grid = Grid(0.1, 3, 8, True)
    ops = (Op("quantize", ("x",), "h"), Op("pool", ("h",), "g", {}, {}, attributes), Op("dequantize", ("g",), "logits"))
    values = [Value("x", "node", 2, None), Value("h", "node", 2, grid)]
    values += [Value("g", "graph", 2, grid), Value("logits", "graph", 2, None)]
    constants = {"spare": np.ones(1, np.float32)}
    return IntegerProgram(ops, {value.name: value for value in values}, constants, {}, {})


@pytest.mark.parametrize(("mode", "row_scale"), [("mean", {"row_scale": "inverse_degree"}), ("sum", {})])
def test_mode_of_a_pool_is_read_as_its_row_scale(tmp_path, mode, row_scale):
    """Earlier releases wrote `mode`; the manifest's hash is that of the document as they wrote it."""
    save_program(pooling(), tmp_path)
    rewrite(tmp_path, at("ops", 1, "attributes", value={"mode": mode}))
    assert_same(read_program(tmp_path), pooling(**row_scale))
    x, batch = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32), np.int64([1, 0, 1, 1, 3, 0, 1])
    totals = np.stack([np.rint(x / np.float32(0.1))[batch == graph].sum(0) for graph in range(4)])
    nodes = np.float32([[2], [4], [1], [1]]) if mode == "mean" else np.float32(1)
    got = load_program(tmp_path).run(x, np.zeros((2, 0), int), batch)
    np.testing.assert_allclose(got, np.rint(totals / nodes) * np.float32(0.1), rtol=1e-6)


@pytest.mark.parametrize(
    "attributes", [{"mode": "max"}, {"mode": ["mean"]}, {"mode": "mean", "row_scale": "inverse_degree"}]
)
def test_another_mode_of_a_pool_is_refused(tmp_path, attributes):
    save_program(pooling(), tmp_path)
    rewrite(tmp_path, at("ops", 1, "attributes", value=attributes))
    with pytest.raises(ProgramError, match=r"op 1 \(pool\): unknown attribute 'mode'"):
        read_program(tmp_path)


def test_bounds_hold_before_anything_is_read(tmp_path, monkeypatch):
    save_program(build(), tmp_path)
    for name, sentence in (
        ("MAX_MANIFEST_BYTES", r"manifest\.json: \d+ bytes are more than the 1 allowed"),
        ("MAX_TENSORS", "constants: 2 tensors are more than the 1 allowed"),
        ("MAX_CONSTANT_BYTES", "constants: 28 bytes are more than the 1 allowed"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(program_io, name, 1)
            with pytest.raises(ProgramError, match=sentence):
                read_program(tmp_path)
            with pytest.raises(ProgramError, match="more than the 1 allowed"):
                save_program(build(), tmp_path)


def test_reading_and_writing_need_no_torch(tmp_path):
    save_program(build(), tmp_path)
    code = f"""
import sys
sys.modules["torch"] = None
from app.engine.program.io import read_program, save_program
save_program(read_program({str(tmp_path)!r}), {str(tmp_path / "copy")!r})
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert_same(read_program(tmp_path / "copy"), build())
