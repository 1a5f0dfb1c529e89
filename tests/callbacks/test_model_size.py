from __future__ import annotations

import pytest

from callbacks import ModelSize
from callbacks.model_size import bytes_at, layer_sizes


@pytest.mark.parametrize("architecture", ["gcn", "gat", "gin"])
def test_model_size_counts_every_parameter_once(architecture, make_task):
    task = make_task("qat", 4, architecture)
    rows = layer_sizes(task)
    total = sum(p.numel() for p in task.parameters())
    assert sum(row[2] for row in rows) == total
    assert sum(row[3] for row in rows) == 4 * total
    matrices = sum(p.numel() for p in task.parameters() if p.dim() > 1)
    halves = sum((p.numel() + 1) // 2 for p in task.parameters() if p.dim() > 1)
    assert sum(row[4] for row in rows) == halves + 4 * (total - matrices)
    for name, bits in (("qat", 8), ("fp32", 32)):
        stored = sum(row[4] for row in layer_sizes(make_task(name, bits, architecture)))
        assert stored == matrices * (1 if bits == 8 else 4) + 4 * (total - matrices)


@pytest.mark.parametrize(("numel", "bits", "size"), [(7, 32, 28), (7, 8, 7), (7, 5, 7), (7, 4, 4), (7, 2, 4)])
def test_bytes_at(numel, bits, size):
    assert bytes_at(numel, bits) == size


def test_model_size_is_printed_before_training(make_task, fit, capsys):
    fit(make_task("qat"), [ModelSize()], epochs=1, enable_progress_bar=True)
    printed = capsys.readouterr().out
    assert "network.convs.0" in printed
    assert f"{sum(p.numel() for p in make_task('qat').parameters()):,}" in printed


def test_model_size_is_silent_in_a_quiet_run(make_task, fit, capsys):
    fit(make_task("qat"), [ModelSize()], epochs=1)
    assert "network.convs.0" not in capsys.readouterr().out
