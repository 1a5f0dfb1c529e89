"""The script for arrays of SLURM, run by bash in place of SLURM, with what SLURM says to each task."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest

from app.cli.commands import COMMANDS
from app.cli.parser import command_parser, parse_words
from app.config.grids import load_grid, plan_runs

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "reproduce.sbatch"
PAGE = SCRIPT.parents[1] / "docs" / "guide" / "tables.md"


def run(folder, **variables):
    """Runs the script as one task; returns what ran, with the words of the command that the script runs."""
    said = {name: str(value) for name, value in variables.items()}
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), "SLURM_SUBMIT_DIR": str(folder), **said}
    words = ["bash", str(SCRIPT), "digits", "--schemes", "fp32,dq_*"]
    return subprocess.run(words, env=environment, capture_output=True, text=True)


def test_its_syntax_is_that_of_bash():
    assert subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(("first", "count", "step"), [(1, 3, 1), (0, 4, 1), (10, 2, 10)])
def test_the_tasks_of_an_array_share_the_runs(tmp_path, first, count, step):
    plans = []
    for task in range(first, first + count * step, step):
        said = {"MIN": first, "MAX": first + (count - 1) * step, "COUNT": count, "STEP": step, "ID": task}
        array = {f"SLURM_ARRAY_TASK_{name}": value for name, value in said.items()}
        script, command, *words = run(tmp_path, **array, SLURM_CPUS_PER_TASK=2).stdout.split()
        assert (script, command) == ("train.py", "reproduce")
        options, rest = parse_words(command_parser(command), words, COMMANDS[command])
        assert (options.jobs, rest) == (2, [])
        plans.append(plan_runs(load_grid(options.name), options))
    options.shard = "1/1"
    everything = plan_runs(load_grid("digits"), options)
    assert sorted(str(run) for plan in plans for run in plan) == sorted(map(str, everything))
    assert all(plans)


def test_outside_an_array_it_says_what_is_missing(tmp_path):
    alone = run(tmp_path)
    assert alone.returncode != 0
    assert "SLURM_ARRAY_TASK_ID: unbound variable" in alone.stderr


def test_options_of_sbatch_stand_before_the_first_command():
    lines = SCRIPT.read_text().splitlines()
    commands = [n for n, line in enumerate(lines) if line and not line.startswith("#")]
    options = [n for n, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert options
    assert max(options) < min(commands), "sbatch reads none after it"
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", lines[n]) for n in options)
