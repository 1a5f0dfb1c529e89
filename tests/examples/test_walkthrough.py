"""The scripts that the walkthrough uses: generated molecules, and a pivot table of runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datamodules import TUDataModule
from examples import generated_molecules

PROJECT = Path(__file__).resolve().parents[2]


def test_generated_molecules_are_as_many_as_mutag_s_and_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        generated_molecules.write(tmp_path / folder)
    data = TUDataModule("MOLECULES", root=str(tmp_path / "one"))
    data.setup("fit")
    assert (data.num_features, data.num_classes) == (7, 2)
    assert data.store is not None
    assert len(data.store.num_nodes) == 188
    files = sorted((tmp_path / "one" / "MOLECULES").iterdir())
    assert len(files) == 4
    assert [file.read_text() for file in files] == [
        (tmp_path / "two" / "MOLECULES" / file.name).read_text() for file in files
    ]


def test_a_pivot_table_has_the_mean_of_every_network_and_scheme(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="examples/pivot.py needs pandas")
    result = {"metrics": {"test/accuracy": 0.0}, "chosen_epoch": 1, "exactness": None}
    for scheme, values in {"fp32": (0.8, 0.9), "dq_int8": (0.7, 0.75)}.items():
        for seed, value in enumerate(values):
            run, cell = tmp_path / f"runs/cora/gcn/{scheme}/seed={seed}", f"cora/gcn/{scheme}"
            run.mkdir(parents=True)
            found = result | {"cell": cell, "seed": seed, "metrics": {"test/accuracy": value}}
            (run / "result.json").write_text(json.dumps(found))
    command, environment = [sys.executable, "-m", "examples.pivot"], {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"cora +gcn +0\.725 +0\.85 .* 2 +2$", ended.stdout.strip()), ended.stdout
