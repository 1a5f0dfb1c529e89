"""The demo's table, of two small runs that are trained for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app import demo
from app.cli.main import main
from app.engine import load_program
from app.runs.run_folder import Run
from app.runs.timing import Timing
from tests.fake_gpu import fake_gpu


def test_the_table_compares_integer_programs_with_pyg(dq_run: Run, fp32_run: Run) -> None:
    timings = {"fp32": Timing(6.0, 5.0, 7.0, 4.0), "dq_int8": Timing(2.0, 1.5, 2.5, 1.0)}
    table = demo.comparison_table({"fp32": fp32_run, "dq_int8": dq_run}, timings)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["scheme"] == ["fp32", "dq"]
    assert cells["bits"] == ["32", "8"]
    accuracies = [100 * run.read_result()["metrics"]["test/accuracy"] for run in (fp32_run, dq_run)]
    assert cells["accuracy"] == [f"{accuracy:.1f} %" for accuracy in accuracies]
    program_bytes = load_program(dq_run.program).num_bytes
    assert cells["bytes"] == [f"{4 * (120 * 16 + 16 + 16 * 7 + 7):,}", f"{program_bytes:,}"]
    assert cells["PyG ms"] == ["6.00", "6.00"]
    assert cells["integer ms"] == ["", "2.00"]
    assert cells["speed-up"] == ["", "3.0x"]
    assert cells["agree"] == ["", "100.0 %"]


def test_pyg_and_every_program_are_timed(dq_run: Run, fp32_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "REPEATS", 2)
    timings = demo.time_forwards({"fp32": fp32_run, "dq_int8": dq_run})
    assert list(timings) == ["fp32", "dense", "dq_int8"]
    assert all(timing.median > 0 for timing in timings.values())


def test_the_demo_runs_on_a_gpu(
    small: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training there, timing on the CPU; small data, few epochs and the two schemes that the timings need."""
    monkeypatch.setattr(demo, "SCHEMES", ("fp32", "dq_int8"))
    monkeypatch.setattr(demo, "REPEATS", 2)
    monkeypatch.setattr(demo.Experiment, "quiet", lambda made: replace(made, overrides=tuple(small(1))))
    with fake_gpu():
        assert main(["demo", "--runs-root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Degree-Quant on the embedded data set" in out
    for scheme in demo.SCHEMES:
        assert f"trained synthetic/gcn/{scheme}" in out
        assert Run(tmp_path / f"synthetic/gcn/{scheme}/seed=0").read_result()["trained_on"] == ["cuda"]
