"""Standard output that is closed, full, or of another encoding, in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.command import streams
from app.engine.program.io import save_program

PROJECT = Path(__file__).resolve().parents[4]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PRINTS = """
import sys
from app.cli.commands import COMMANDS
from app.cli.main import main
from app.cli.console import standard_output

def prints(options, rest):
    for _ in range(3):
        print("x" * int(sys.argv[1]), flush=True)
        standard_output().print("50 \\xb1 1 \\u2022 [v2] :x:", soft_wrap=True)
    print("went on", file=sys.stderr)
    return 0

import app.config.cells
app.config.cells.list_cells = prints
sys.exit(main(["list"]))
"""
"""A command that prints."""

MORE_THAN_BUFFERS = 70_000


def run(letters: int = MORE_THAN_BUFFERS, **settings: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", PRINTS, str(letters)]
    return subprocess.run(command, cwd=PROJECT, stderr=subprocess.PIPE, timeout=120, **settings)  # type: ignore[call-overload]


def test_a_command_goes_on_when_nobody_reads_what_it_prints() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = run(stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"went on\n")


@pytest.mark.parametrize("words", [["info", "program"], ["--help"], ["check", "program"]], ids=" ".join)
def test_a_command_of_the_engine_ends_well_when_nobody_reads_what_it_prints(make_program, tmp_path, words) -> None:
    save_program(make_program("gin", 8), tmp_path / "program")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DEGREE_QUANT_SIMD": "0"}
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "app.engine", *words],
        cwd=tmp_path, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_command_goes_on_without_standard_output() -> None:
    ended = run(preexec_fn=lambda: os.close(1))
    assert (ended.returncode, ended.stderr) == (0, b"went on\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("letters", [10, MORE_THAN_BUFFERS])
def test_standard_output_on_a_full_disk_is_one_sentence(letters: int) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(letters, stdout=full)
    assert (ended.returncode, ended.stderr) == (2, b"error: standard output: No space left on device\n")


def test_a_word_that_the_locale_cannot_read_is_one_sentence() -> None:
    command = [sys.executable, "train.py", "fit", "--cell", "ä"]
    ended = subprocess.run(command, cwd=PROJECT, env={**os.environ, **ASCII}, capture_output=True, check=False)
    told = rb"error: \udcc3\udca4: not in the encoding of this locale (ascii); set PYTHONUTF8=1 or rename it"
    assert (ended.returncode, ended.stderr.strip()) == (2, told)


@pytest.mark.parametrize("environment", [ASCII, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_what_an_encoding_lacks_is_written_as_an_escape_and_markup_as_it_is(environment: dict[str, str]) -> None:
    ended = run(stdout=subprocess.PIPE, env={**os.environ, **environment})
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[1] == rb"50 \xb1 1 \u2022 [v2] :x:"


def test_what_is_written_to_an_unbuffered_stream_appears_at_once():
    raw = io.BytesIO()
    stream = streams.Stream(io.TextIOWrapper(raw, "utf-8", write_through=True), "standard error")
    stream.write("round 1")
    assert raw.getvalue() == b"round 1"
