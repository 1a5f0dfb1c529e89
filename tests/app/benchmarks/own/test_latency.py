"""Networks of one's own against their programs: all are timed, on inputs that they take, in one table and one page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import main

NETWORKS = "tests.models.conversion.networks:GRAPH_MAKERS"
SMALL = ["--graphs", "3", "--width", "8", "--repeats", "2"]


def test_all_of_a_mapping_are_timed(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    names = [NETWORKS, "examples.networks:GraphSAGE"]
    words = [*names, *SMALL, "--output", str(figures), "--page", str(page)]
    assert main(["benchmark", "networks", *words]) == 0
    rows = json.loads(figures.read_text())["rows"]
    expected = ["gin", "gin of maxima", "pools", "normalised graphs", "examples.networks:GraphSAGE"]
    assert [row["network"] for row in rows] == expected
    for row in rows:
        medians = {name: timing["median"] for name, timing in row["times"].items()}
        assert row["ratios"] == {name: medians["PyG FP32"] / median for name, median in medians.items()}
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == expected
    assert all(len(line.split(" | ")) == 6 for line in lines)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tests.models.conversion.networks:FEATURES", "has no FEATURES; there are"),
        ("tests.models.conversion.networks:NOTHING", "has no NOTHING"),
        ("nowhere:Net", "there is no module nowhere"),
    ],
)
def test_what_is_no_network_is_told(name: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "networks", name, *SMALL]) == 2
    assert told in capsys.readouterr().err
