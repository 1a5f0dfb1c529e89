from __future__ import annotations

from callbacks import RangeSync


def test_ranges_are_synchronised_after_every_training_step(make_task, fit, monkeypatch):
    calls = []
    monkeypatch.setattr("callbacks.range_sync.synchronise_ranges", calls.append)
    task = make_task("qat")
    fit(task, [RangeSync()], epochs=3)
    assert calls == [task] * 3
