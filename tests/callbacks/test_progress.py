from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from callbacks import progress
from callbacks.progress import LINES, EpochLines, MetricsBar, block


@pytest.mark.parametrize(("epochs", "size"), [(-1, 1), (1, 1), (LINES, 1), (LINES + 1, 2), (200, 10), (201, 11)])
def test_no_training_prints_more_lines_than_stated(epochs, size):
    assert block(epochs) == size


def test_a_line_after_every_block_and_after_the_last_epoch(make_task, fit, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINES", 2)
    trainer = fit(make_task("dq", 4), [EpochLines()], epochs=5, enable_progress_bar=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["3/5", "5/5"]
    last = dict(re.findall(r"(\S+/\S+) (\d+\.\d{4})", lines[-1]))
    shown = {name: f"{float(value):.4f}" for name, value in trainer.callback_metrics.items() if name in last}
    assert last == shown
    assert {"train/loss", "train/accuracy", "val/accuracy"} <= last.keys()


@pytest.mark.parametrize(("terminal", "kind"), [(True, MetricsBar), (False, EpochLines)])
def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch, terminal, kind):
    monkeypatch.setattr(progress, "Console", lambda: Console(file=io.StringIO(), force_terminal=terminal))
    assert type(progress.progress()) is kind


def test_the_bar_cuts_no_name_on_eighty_columns(make_task, fit, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    fit(make_task("dq", 4), [MetricsBar()], epochs=2, enable_progress_bar=True)
    out = capsys.readouterr().out
    assert re.search(r"train/accuracy: \d\.\d{3}", out)
    assert re.search(r"train/loss: \d\.\d{3}", out)
