"""Saving and reading programs: round trips, interruptions, limits."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread, current_thread

import pytest

from app.engine.files import write_atomically
from app.engine.program import io as program_io
from app.engine.program.io import ProgramError, read_program, save_program
from tests.app.engine.program.saved import assert_same, build, constants_file

ROOT = Path(__file__).parents[4]


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


def test_everything_lies_in_two_files_named_by_content(tmp_path):
    save_program(build(0), tmp_path)
    save_program(build(1), tmp_path)
    assert_same(read_program(tmp_path), build(1))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    content = (tmp_path / manifest["constants_file"]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["constants_file"] == f"constants-{digest[:12]}.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", manifest["constants_file"]}


def test_a_program_that_is_replaced_while_it_is_read_is_read_anew(tmp_path, monkeypatch):
    """The constants that the old manifest names are gone then."""
    save_program(build(0), tmp_path)
    read, names = program_io._read, []

    def replacing(path, limit, name):
        names.append(name)
        if len(names) == 2:
            save_program(build(1), tmp_path)
        return read(path, limit, name)

    monkeypatch.setattr(program_io, "_read", replacing)
    assert_same(read_program(tmp_path), build(1))
    assert len(names) == 4


def test_constants_that_are_missing_are_looked_for_once(tmp_path, monkeypatch):
    constants_file(save_program(build(0), tmp_path)).unlink()
    read, names = program_io._read, []
    monkeypatch.setattr(program_io, "_read", lambda *arguments: names.append(arguments[-1]) or read(*arguments))
    with pytest.raises(ProgramError, match="cannot be read: No such file or directory"):
        read_program(tmp_path)
    assert len(names) == 2


def test_free_form_manifest_is_read_as_json_sees_it(tmp_path):
    manifest = {"widths": (1, 2), "by_bits": {8: 0.5, 4: 0.25, 16: 1}}
    program = save_program(replace(build(), manifest=manifest), tmp_path)
    assert read_program(program).manifest == {"widths": [1, 2], "by_bits": {"8": 0.5, "4": 0.25, "16": 1}}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["manifest.json", "constants"])
def test_a_pipe_in_place_of_a_file_is_refused(tmp_path, name):
    """In a process of its own: reading a pipe that nobody writes to would wait for ever."""
    save_program(build(), tmp_path)
    path = constants_file(tmp_path) if name == "constants" else tmp_path / name
    path.unlink()
    os.mkfifo(path)
    code = f"from app.engine.program.io import read_program; read_program({str(tmp_path)!r})"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert result.stderr.endswith(f"ProgramError: {tmp_path}: {path.name}: is not a regular file\n")


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


def test_two_writers_at_once_leave_one_whole_program(tmp_path, monkeypatch):
    """The one that is in the middle of writing, and waits for the other, must not lose its constants to it."""
    written, ended = Event(), Event()

    def wait_after_constants(path, *arguments, **options):
        write_atomically(path, *arguments, **options)
        if current_thread() is slow and path.name.startswith("constants"):
            written.set()
            ended.wait(0.5)  # in which the other would end, if it could

    def save_fast():
        save_program(build(1), tmp_path)
        ended.set()

    monkeypatch.setattr(program_io, "write_atomically", wait_after_constants)
    slow, fast = Thread(target=save_program, args=(build(0), tmp_path)), Thread(target=save_fast)
    slow.start()
    assert written.wait(60)
    fast.start()
    for thread in (slow, fast):
        thread.join(60)
    assert ended.is_set()
    assert any(is_same(read_program(tmp_path), build(seed)) for seed in (0, 1))


def test_absent_files_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none", "a\0b"):
        with pytest.raises(ProgramError) as refused:
            read_program(path)
        assert str(refused.value).startswith(f"{path}: manifest.json: cannot be read: ")
    save_program(build(), tmp_path)
    constants_file(tmp_path).unlink()
    with pytest.raises(ProgramError, match=r"constants-.*cannot be read: No such file"):
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
