"""Shared by tests of runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.runs.run_folder import Run


@pytest.fixture
def fp32_root(fp32_run: Run, tmp_path: Path) -> Path:
    """A runs' root of its own with the finished FP32 run."""
    shutil.copytree(fp32_run.directory, tmp_path / "synthetic/gcn/fp32/seed=0")
    return tmp_path
