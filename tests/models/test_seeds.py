from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.seeds import derived_seed, run_seed

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("variable", "seed"), [(None, 0), ("0", 0), ("17", 17)])
def test_the_seed_of_the_run_is_lightnings(monkeypatch: pytest.MonkeyPatch, variable: str | None, seed: int) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    if variable is not None:
        monkeypatch.setenv("PL_GLOBAL_SEED", variable)
    assert run_seed() == seed


def test_derived_seeds_depend_on_the_run_and_on_every_number(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = set()
    for seed in ("0", "1"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        seeds |= {derived_seed(*numbers) for numbers in ((), (0,), (1,), (0, 1), (1, 0), (1, 1))}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_derived_seeds_are_those_that_results_were_reported_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    assert derived_seed(7) == 4803095124130366729
    assert derived_seed(0, 41) == 123040880842575595


def test_seeds_come_without_torch() -> None:
    code = "import sys; import models.seeds; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
