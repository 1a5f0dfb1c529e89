from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from app.engine.files import write_atomically
from app.grids.progress import Progress
from app.runs.run_folder import Run

NAMES = ("synthetic/gcn/fp32", "synthetic/gcn/qat_int8", "synthetic/gcn/qat_int8+lr")


def test_what_is_at_work_and_the_time_left_come_first_on_a_small_screen(tmp_path: Path) -> None:
    progress = Progress("tiny", [(name, 0) for name in NAMES], tmp_path, jobs=1)
    with Run.of(tmp_path, NAMES[2], 0).exclusive():
        console = Console(width=120, record=True, file=StringIO())
        console.print(progress.live())
    lines = console.export_text().splitlines()
    assert lines[0] == "0 of 3 runs finished, 0 failed"
    assert [line.split()[1] for line in lines if "synthetic" in line] == [NAMES[2], NAMES[0], NAMES[1]]


def test_the_time_left_is_that_of_like_runs_shared_by_the_processes(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    plan = [(name, seed) for name in NAMES for seed in (0, 1)]

    def finish(name: str, seconds: float) -> None:
        result = {"cell": name, "seed": 0, "metrics": {"test/accuracy": 0.5}, "epoch": 0, "exactness": None}
        durations = {"fit": seconds - 1.0, "evaluate": 1.0}
        write_atomically(Run(root / name / "seed=0").result, json.dumps({**result, "durations": durations}))

    progress = Progress("tiny", plan, root, jobs=2)
    assert progress.seconds_left() is None
    finish(NAMES[0], 10.0)
    finish(NAMES[1], 40.0)
    progress.table()
    # left: seed 1 of the first (10 s) and second (40 s), two of the third (mean 25 s)
    assert progress.seconds_left() == pytest.approx((10 + 40 + 2 * 25) / 2)
