from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.runs.run_folder import Run

PROJECT = Path(__file__).resolve().parents[2]
SMALL_DATA = ("--data.num_nodes=300", "--data.num_val=60", "--data.num_test=80", "--data.num_features=120")
QUIET = ("--trainer.enable_progress_bar=false",)


@pytest.fixture(scope="session")
def small() -> Callable[..., list[str]]:
    """Options that make a cell small and quick."""

    def options(epochs: int = 12) -> list[str]:
        return [*SMALL_DATA, *QUIET, f"--trainer.max_epochs={epochs}"]

    return options


@pytest.fixture(scope="session")
def train(small: Callable[..., list[str]]) -> Callable[..., Run]:
    """Trains a small cell below a folder, in this process."""

    def fit(cell: str, root: Path, *words: str, epochs: int = 12, seed: int = 0) -> Run:
        command = ["fit", "--cell", cell, "--seed", str(seed), "--runs-root", str(root), *small(epochs), *words]
        assert main(command) == 0
        return Run(root / cell / f"seed={seed}")

    return fit


@pytest.fixture(scope="session")
def trained_root(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., Run]) -> Path:
    """A runs root with finished runs of FP32 and DQ INT8; tests must not change what is in it."""
    root = tmp_path_factory.mktemp("trained")
    train("synthetic/gcn/fp32", root)
    train("synthetic/gcn/dq_int8", root, seed=3)
    return root


@pytest.fixture(scope="session")
def dq_run(trained_root: Path) -> Run:
    """The DQ INT8 run of seed 3."""
    return Run(trained_root / "synthetic/gcn/dq_int8/seed=3")


@pytest.fixture(scope="session")
def fp32_run(trained_root: Path) -> Run:
    """The FP32 run of seed 0."""
    return Run(trained_root / "synthetic/gcn/fp32/seed=0")


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python process of the project: words as for `python`, one CPU thread."""

    def popen(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=PROJECT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return popen


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail like a user's error, and returns its one line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        assert code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert len(err) < 400
        return err.removeprefix("error: ").rstrip()

    return run
