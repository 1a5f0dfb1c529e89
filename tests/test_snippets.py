"""The Python of the pages runs as it stands, block after block, in an empty folder."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from app.cli.main import main
from app.engine.program.io import save_program
from models.architectures import GCN
from models.quantization.control import calibrate
from models.schemes import scheme_of

PROJECT = Path(__file__).resolve().parent.parent
NODES, FEATURES, CLASSES = 80, 64, 7


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


FOR_USERS = (PROJECT / "README.md", PROJECT / "docs" / "ENGINE.md", *sorted((PROJECT / "docs" / "guide").glob("*.md")))
PAGES = [page for page in FOR_USERS if blocks(page)]


def what_a_reader_has() -> dict[str, Any]:
    """A graph with features and classes under the names that the pages use, a program in `served`, a run in `runs`."""
    torch.manual_seed(0)
    names: dict[str, Any] = {
        "x": torch.randn(NODES, FEATURES),
        "num_nodes": NODES,
        "edge_index": torch.randint(NODES, (2, 300)),
        "y": torch.randint(CLASSES, (NODES,)),
        "train_mask": torch.arange(NODES) % 2 == 0,
    }
    network = GCN(FEATURES, CLASSES, scheme_of("ptq_int8"))
    calibrate(network, lambda: network(names["x"], names["edge_index"]))
    save_program(network.lower(), Path("served"))
    assert (
        main(
            [
                "fit",
                "--cell",
                "synthetic/gcn/dq_int8",
                "--trainer.max_epochs",
                "1",
                "--trainer.enable_progress_bar",
                "false",
            ]
        )
        == 0
    )
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = what_a_reader_has()
    for number, block in enumerate(blocks(page), 1):
        if "import pandas" in block and find_spec("pandas") is None:
            continue  # optional: the only block of its kind
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
