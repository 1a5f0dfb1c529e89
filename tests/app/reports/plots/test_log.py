from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from app.reports.plots.log import Log
from app.runs.run_folder import Run


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A run of three epochs of ten steps; the second epoch was logged twice."""
    run = Run(tmp_path)
    with SummaryWriter(str(run.board)) as board:
        for epoch, loss in ((0, 3.0), (1, 9.0), (1, 2.0), (2, 1.0)):
            board.add_scalar("epoch", epoch, 10 * epoch + 9)
            board.add_scalar("val/loss", loss, 10 * epoch + 9)
        board.add_scalar("scale/convs.0.inputs", 0.5, 14)
        board.add_scalar("scale/convs.1.inputs", 0.25, 29)
    found = Log.of(run)
    assert found is not None
    return found


def test_values_stand_at_their_epochs_and_the_last_of_a_step_counts(log: Log) -> None:
    epochs, values = log.curve("val/loss")
    assert epochs.tolist() == [1.0, 2.0, 3.0]
    assert values.tolist() == [3.0, 2.0, 1.0]
    assert log.last("val/loss") == 1.0


def test_what_is_logged_between_epochs_stands_between_them(log: Log) -> None:
    assert log.curve("scale/convs.0.inputs")[0].tolist() == [1.5]


def test_what_is_not_logged_is_empty(log: Log, tmp_path: Path) -> None:
    assert list(log.named("scale")) == ["convs.0.inputs", "convs.1.inputs"]
    assert len(log.curve("nothing")[0]) == 0
    assert log.last("nothing") is None
    assert Log.of(Run(tmp_path / "elsewhere")) is None
