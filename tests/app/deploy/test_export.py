from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from app.cli.main import main
from app.runs.run_folder import Run

Refused = Callable[..., str]


def test_fp32_has_no_program(refused: Refused, fp32_run: Run) -> None:
    assert "its scheme is FP32; only quantized runs have an integer program" in refused(
        "export", "--run", fp32_run.directory
    )


@pytest.fixture(scope="module")
def exported(dq_run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a program was exported to, and what the command printed."""
    target, printed = tmp_path_factory.mktemp("exported") / "new" / "folder", StringIO()
    with redirect_stdout(printed):
        assert main(["export", "--run", str(dq_run.directory), "--output", str(target), "--float64"]) == 0
    return target, printed.getvalue()


def test_export_elsewhere_writes_the_same_program(dq_run: Run, exported: tuple[Path, str]) -> None:
    for path in dq_run.program.iterdir():
        assert (exported[0] / path.name).read_bytes() == path.read_bytes()


def test_export_prints_the_exactness_of_the_run(dq_run: Run, exported: tuple[Path, str]) -> None:
    assert json.loads(exported[1].splitlines()[-1]) == dq_run.read_result()["exactness"]


@pytest.mark.parametrize(
    "pair", ["in float64 / trained in float32", "program / trained in float32", "program / in float64"]
)
def test_export_compares_with_float64_on_request(exported: tuple[Path, str], pair: str) -> None:
    assert f"│ {pair} " in exported[1]


def test_a_file_is_not_overwritten_by_a_program(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    assert "is a file" in refused("export", "--run", dq_run.directory, "--output", file)
    assert file.read_text() == "precious"


def test_a_run_that_is_exported_later_is_as_if_it_had_been_at_once(
    train: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = train("synthetic/gcn/dq_int8", tmp_path / "a", epochs=1)
    later = train("synthetic/gcn/dq_int8", tmp_path / "b", "--export", "false", epochs=1)
    before = later.read_result()
    assert (before["exactness"], before["no_program"]) == (None, "export is false")
    assert main(["export", "--run", str(later.directory), "--output", str(tmp_path / "elsewhere")]) == 0
    assert later.read_result() == before
    assert main(["export", "--run", str(later.directory)]) == 0
    assert later.read_result() == {**before, "exactness": exported.read_result()["exactness"], "no_program": None}
    assert (later.program / "manifest.json").read_bytes() == (exported.program / "manifest.json").read_bytes()
