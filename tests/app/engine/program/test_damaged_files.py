"""Damaged and malicious files of programs are refused."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.program.io import ProgramError, read_program, save_program
from tests.app.engine.program.saved import assert_same, at, build, constants_file, rewrite, without

GRID = {"scale": 0.1, "zero_point": 1, "bits": 8, "signed": False}
HUGE = int("9" * 4000)


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
        (at("values", 1, "width", value=HUGE), "value 'codes': width is more than 2147483647"),
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
        (at("constants", value={}), "constant 'b' is missing in the manifest"),  # the first of two
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
