"""What of the checks on a GPU can be tried without one: that they name what exists, and pass for no wrong reason."""

from __future__ import annotations

import json
import re
import sys
import time
from argparse import Namespace
from importlib.metadata import packages_distributions
from pathlib import Path
from unittest import mock

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.workloads import WORKLOADS
from app.config.cells import select
from tests.gpu_check import __main__ as program
from tests.gpu_check import checks, on_device, processes
from tests.gpu_check.processes import ROOT, all_passed, output_of

RESULT = {
    "metrics": {}, "epochs": 2, "durations": {"resumed": [1]}, "trained_on": ["cuda"],
    "exactness": {"margin_violations": 0, "codes": 9, "codes_differing": 0},
}  # fmt: skip


def names():
    return [name for name, _ in checks.checks(Namespace(data=Path("."), steps=1), Path("."))]


@pytest.fixture
def program_writes(monkeypatch):
    """The program writes a result instead of training."""

    def writes(place, **result):
        def train_py(command, *words, **named):
            if command in ("fit", "demo"):
                folder = Path(words[words.index("--runs-root") + 1]) / place
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "config.yaml").write_text("trainer: {max_epochs: 1}")
                (folder / "result.json").write_text(json.dumps(RESULT | result))

        monkeypatch.setattr(checks, "train_py", train_py)

    return writes


CELL = checks.CELLS[0]


def test_a_training_on_a_gpu_that_goes_on_passes(program_writes, tmp_path):
    program_writes(f"{CELL}/seed=0")
    assert checks.training(CELL, tmp_path) == {"metrics": {}, "codes": 9, "codes_differing": 0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 1}, "ended with 1 epochs"),
        ({"durations": {"resumed": []}}, "ended with 2 epochs"),
        ({"trained_on": ["cpu"]}, "trained on"),
        ({"trained_on": ["cuda", "cpu"]}, "trained on"),
        ({"exactness": RESULT["exactness"] | {"margin_violations": 1}}, "margin_violations"),
    ],
)
def test_a_training_that_shows_nothing_fails(program_writes, tmp_path, wrong, said):
    program_writes(f"{CELL}/seed=0", **wrong)
    with pytest.raises(RuntimeError, match=said):
        checks.training(CELL, tmp_path)


def test_a_training_goes_on_and_is_exported_with_the_real_program(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "SHORT", ("--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"))
    with pytest.raises(RuntimeError, match=r"trained on \['cpu'\], exactness \{'codes': [1-9]"):
        checks.training("synthetic/gcn/dq_int8", tmp_path)


def test_a_demo_on_a_cpu_fails(program_writes, tmp_path):
    program_writes("cell/seed=0", cell="cell")
    assert checks.demo(tmp_path) == {"runs": 1}
    program_writes("cell/seed=0", cell="cell", trained_on=["cpu"])
    with pytest.raises(RuntimeError, match="1 runs, trained elsewhere"):
        checks.demo(tmp_path)


def test_a_demo_without_runs_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "train_py", lambda *words: None)
    with pytest.raises(RuntimeError, match="0 runs"):
        checks.demo(tmp_path)


def test_several_gpus_are_not_tried_on_one(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert checks.on_all_devices(tmp_path)["passed"] is None


@pytest.mark.parametrize("end", ["no tests ran in 0.1s", "3 passed, 1 skipped in 2s", "2 skipped in 1s", "0 passed"])
def test_tests_that_show_nothing_fail(end):
    with pytest.raises(RuntimeError, match="every test has to pass"):
        all_passed(f"something\n{end}\n")
    assert all_passed("something\n13 passed, 2 warnings in 3s\n") == "13 passed, 2 warnings in 3s"


def test_a_torch_that_says_nothing_of_waits_fails(monkeypatch):
    """As this one does, which has no CUDA."""
    monkeypatch.setattr(on_device, "step_of_cell", lambda cell: lambda: None)
    monkeypatch.setattr(on_device, "GPU", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    with pytest.raises(RuntimeError, match="worth nothing"):
        on_device.waits(1)


def test_what_is_too_slow_is_killed_with_all_that_it_started(monkeypatch, tmp_path):
    child = f"import time; time.sleep(4); open({str(tmp_path / 'alive')!r}, 'w')"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    monkeypatch.setattr(processes, "LIMIT", 1)
    with pytest.raises(RuntimeError, match="took more than 1 s"):
        output_of("-c", code)
    time.sleep(4)
    assert not (tmp_path / "alive").exists()


def test_a_process_that_fails_is_told_with_what_it_said():
    with pytest.raises(RuntimeError, match="it is broken"):
        output_of("-c", "raise SystemExit('it is broken')")


@pytest.mark.parametrize("cell", [*checks.CELLS, *(f"{cell}/fp32" for cell in checks.TIMED | checks.TIMED_WITH_DATA)])
def test_cells_exist(cell):
    assert [str(found) for found in select(cell)] == [cell]


def test_what_is_timed_exists():
    assert {network for _, network in checks.PROGRAMS} <= NETWORKS.keys()
    assert {workload for workload, _ in checks.PROGRAMS} <= WORKLOADS.keys()
    assert all((ROOT / path).exists() for path in checks.KERNELS_OF_TRAINING)


def test_the_groups_that_are_told_hold_every_check_once():
    told = re.search(r"run these groups one after the other: (.*?)\. Ends", program.__doc__, re.DOTALL)
    groups = [group.split() for group in re.findall(r"`(.+?)`", told[1])]
    found = [name for words in groups for name in names() if any(word in name for word in words)]
    assert sorted(found) == sorted(names())
    assert all(any(word in name for name in names()) for words in groups for word in words)


def test_all_packages_of_the_project_are_asked_for():
    listed = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    needed = {canonicalize_name(Requirement(one).name) for one in re.findall(r'^ *"(.+?)",', listed[1], re.MULTILINE)}
    asked = {canonicalize_name(one) for name in program.NEEDED for one in packages_distributions().get(name, [])}
    assert len(needed) > 10
    assert needed <= asked


def ends(monkeypatch, *words, **found):
    """The exit code of the program with checks of these results; an exception is raised."""

    def check(result):
        if isinstance(result, Exception):
            raise result
        return result

    made = [(name, lambda result=result: check(result)) for name, result in found.items()]
    monkeypatch.setattr(sys, "argv", ["gpu_check", *words])
    monkeypatch.setattr(checks, "checks", lambda options, folder: made)
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "get_device_name", return_value="A GPU"),
    ):
        return program.main()


def test_a_check_that_fails_leaves_the_others_to_run(monkeypatch, tmp_path, capsys):
    output = tmp_path / "new" / "check.json"
    found = {"first": RuntimeError("no"), "second": {}, "third": {"passed": None}}
    assert ends(monkeypatch, "--output", str(output), **found) == 1
    told = json.loads(output.read_text())
    assert (told["device"], [row["passed"] for row in told["checks"]]) == ("A GPU", [False, True, None])
    assert "not tried" in capsys.readouterr().out


def test_no_check_begins_after_the_time_that_is_given(monkeypatch, capsys):
    assert ends(monkeypatch, "--seconds", "0", first=RuntimeError("no")) == 0
    assert "not tried: 0 seconds were over" in capsys.readouterr().out


def test_some_checks_are_run_by_words_of_their_names(monkeypatch, capsys):
    found = {"one of these": {}, "two": RuntimeError("no"), "these others": {}}
    assert ends(monkeypatch, "--only", "these", **found) == 0
    assert "two" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        ends(monkeypatch, "--only", "unknown", **found)
    assert "there are one of these, two, these others" in capsys.readouterr().err


def test_a_machine_without_a_gpu_or_a_package_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert program.main() == 2
    monkeypatch.setattr(program, "NEEDED", ("torch", "no_such_package"))
    assert program.main() == 2
    assert "packages are missing: no_such_package" in capsys.readouterr().err
