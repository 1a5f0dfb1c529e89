from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from app.reports.plots.latency import speedups


def test_bars_are_ratios_to_pyg_eager_in_a_group_for_every_network():
    def result(network, ratios):
        rows = [{"name": name, "threads": 1, "ratios": {"PyG eager": ratio}} for name, ratio in ratios.items()]
        return {"workload": "zinc", "network": network, "rows": rows}

    both = [result("gcn", {"PyG eager": 1.0, "INT8": 8.0}), result("gat", {"own FP32": None, "INT8": None})]
    (axes,) = speedups([*both, result("gin", {"PyG eager": 1.0, "INT8": 4.0})]).axes
    bars = {container.get_label(): container.patches for container in axes.containers}
    heights = {name: [bar.get_height() for bar in found] for name, found in bars.items()}
    assert heights == {"PyG eager": [1.0, 1.0], "INT8": [8.0, 4.0], "own FP32": []}
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars["INT8"]] == [0, 2]
    assert bars["PyG eager"][0].get_x() + bars["PyG eager"][0].get_width() <= bars["INT8"][0].get_x()
    assert axes.get_yscale() == "log"
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["gcn\nzinc", "gat\nzinc\n(PyG eager not run)", "gin\nzinc"]
