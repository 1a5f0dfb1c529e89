from __future__ import annotations

import argparse
import json
from io import StringIO

import pytest
from rich.console import Console

from app.benchmarks.command import check_names, output_of, write_figures
from app.errors import UserError


def test_unknown_names_are_refused_with_the_known_ones():
    check_names("benchmark latency", ["gcn"], ["gcn", "gat"])
    with pytest.raises(UserError, match="benchmark latency: no 'gnc', expected one of gcn, gat"):
        check_names("benchmark latency", ["gcn", "gnc"], ["gcn", "gat"])


def test_figures_are_written_with_processor_and_versions(tmp_path):
    path, shown = tmp_path / "new" / "figures.json", StringIO()
    write_figures(path, {"rows": [1.5, None]}, Console(file=shown, width=20))
    figures = json.loads(path.read_text())
    assert figures["rows"] == [1.5, None]
    assert figures["processor"]
    assert {"degree-quant", "torch"} <= figures["versions"].keys()
    assert shown.getvalue() == f"figures in {path}\n"


def test_an_output_that_is_a_folder_is_refused(tmp_path):
    assert output_of(argparse.Namespace(output=None)) is None
    assert output_of(argparse.Namespace(output=str(tmp_path / "new.json"))) == tmp_path / "new.json"
    with pytest.raises(UserError, match="is a folder"):
        output_of(argparse.Namespace(output=str(tmp_path)))
