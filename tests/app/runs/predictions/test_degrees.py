from __future__ import annotations

import pytest
import torch

from app.runs.predictions.degrees import bin_name, degree_bin
from app.runs.run_folder import Run


def test_bins_of_degrees_double() -> None:
    assert degree_bin(torch.tensor([0, 1, 2, 3, 4, 7, 8, 1023, 1024])).tolist() == [0, 1, 2, 2, 3, 3, 4, 10, 11]
    assert [bin_name(number) for number in (0, 1, 2, 3, 10)] == ["0", "1", "2-3", "4-7", "512-1023"]


def test_errors_by_degree_add_up_to_the_accuracy(dq_run: Run) -> None:
    result = dq_run.read_result()
    bins = result["error_by_degree"].values()
    nodes, wrong = sum(b["nodes"] for b in bins), sum(b["wrong"] for b in bins)
    assert nodes == 80
    assert result["metrics"]["test/accuracy"] == pytest.approx(1 - wrong / nodes)
