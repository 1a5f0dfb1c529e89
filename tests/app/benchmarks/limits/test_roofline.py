from __future__ import annotations

from dataclasses import dataclass
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from app.benchmarks.generated_graphs import molecules, superpixels
from app.benchmarks.limits import kernels, roofline
from app.engine import Graph
from app.engine.kernels.floats import LANES, gather_rows
from app.engine.workers import Workers


@dataclass
class Fixed:
    """A timing known beforehand, in milliseconds."""

    fastest: float


@pytest.fixture
def small(monkeypatch):
    """Little memory; every call once, and as if it had taken 2 ms."""
    monkeypatch.setattr(roofline, "TABLE", 1 << 20)
    monkeypatch.setattr(roofline, "MOVED", 1 << 19)

    def timed(candidates, repeats, warmup):
        for call in candidates.values():
            call()
        return dict.fromkeys(candidates, Fixed(2.0))

    monkeypatch.setattr(roofline, "interleaved", timed)


@pytest.mark.parametrize("width", [32, 128])
def test_a_gather_reads_every_number_of_the_rows_it_is_given(width):
    rng = np.random.default_rng(0)
    x, sources = rng.integers(0, 1000, (50, width), np.int32), rng.integers(0, 50, 200, np.int32)
    out = np.zeros(200 + LANES, np.int32)
    gather_rows(x, sources, out, 20, 150)
    expected = x[sources[20:150]].reshape(-1, LANES).sum(0)
    np.testing.assert_array_equal(out[20 : 20 + LANES], expected)
    assert not out[:20].any()
    assert not out[20 + LANES :].any()


@pytest.mark.parametrize("threads", [1, 2])
def test_rates_are_work_by_time(small, threads):
    nodes, edges = molecules(graphs=50)
    rows = {row["name"]: row for row in roofline.measure(Graph(edges, nodes), threads, 2)}
    rates = {name: row["rate"] * 2e6 for name, row in rows.items()}  # operations or bytes in the 2 ms
    loops_too = edges.shape[1] + nodes
    expected = {
        "float32 product": 2 * 1024**3,
        "INT8 in cache": 100 * threads * 2 * 1024 * 128 * 128,
        "copy": 1 << 19,
        "gather 128 B": 1 << 19,
        "gather 512 B": 1 << 19,
        "its rows, 128 B": 128 * loops_too,
        "its rows, 512 B": 512 * loops_too,
        "INT8 linear": 2 * nodes * 128 * 128,
        "INT8 sum": 128 * loops_too,
        "INT8 weighted sum": 128 * loops_too,
        "own FP32 weighted sum": 512 * loops_too,
    }
    assert rates == pytest.approx(expected)
    fractions = {name: row["fraction"] for name, row in rows.items() if row["limit"]}
    assert fractions == pytest.approx(
        {
            "INT8 linear": expected["INT8 linear"] / expected["INT8 in cache"],
            "INT8 sum": 1.0,  # all calls take as long here, so they are as fast as their rows are read
            "INT8 weighted sum": 1.0,
            "own FP32 weighted sum": 1.0,
        }
    )


def test_peaks_move_as_much_as_they_say(small, monkeypatch):
    copied, read = [], []
    copyto = np.copyto
    monkeypatch.setattr(np, "copyto", lambda to, what: (copied.append(2 * what.nbytes), copyto(to, what)))

    def counted(x, sources, out, first, last):
        read.append((last - first) * x[0].nbytes)
        gather_rows(x, sources, out, first, last)

    monkeypatch.setattr(roofline, "gather_rows", counted)
    monkeypatch.setattr(kernels, "gather_rows", counted)
    found = roofline.peaks(Workers(2))
    for name in ("copy", "gather 128 B", "gather 512 B"):
        found[name].call()
    assert sum(copied) == found["copy"].work
    assert sum(read) == found["gather 128 B"].work + found["gather 512 B"].work
    read.clear()
    nodes, edges = molecules(graphs=50)
    of_graph = kernels.kernels_on(Graph(edges, nodes), Workers(2))
    for size in (128, 512):
        of_graph[f"its rows, {size} B"].call()
    assert sum(read) == (128 + 512) * (edges.shape[1] + nodes)


def test_kernels_compute_something(small):
    """Codes that are all alike would be the sign of a wrong call."""
    nodes, edges = superpixels(graphs=2)
    found = kernels.kernels_on(Graph(edges, nodes), Workers())
    for name in ("INT8 linear", "INT8 sum", "INT8 weighted sum"):
        codes = found[name].call()
        assert codes.shape == (nodes, 128)
        assert 10 < codes.std() < 90, name


def test_the_table_fits_eighty_columns(small):
    nodes, edges = molecules(graphs=5)
    text = StringIO()
    Console(file=text, width=80).print(
        roofline.roofline_table("zinc (generated)", roofline.measure(Graph(edges, nodes), 2, 2))
    )
    assert "…" not in text.getvalue()
    assert "% of its rows, 512 B" in text.getvalue()
