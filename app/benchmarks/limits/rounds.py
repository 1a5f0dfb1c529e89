"""Rounds of calls of the engine's kernels, in a process whose kernels are compiled for one kind of processor."""

from __future__ import annotations

import time

import numpy as np

from app.benchmarks.limits.kernels import Timed, kernels_on, product_in_cache
from app.engine import Graph
from app.engine.workers import Workers

KERNELS = ("INT8 linear", "INT8 sum", "INT8 weighted sum")

_timed: dict[str, Timed] = {}
"""What this process times."""


def prepare(nodes: int, edges: np.ndarray, threads: int) -> dict[str, tuple[float, str, str | None]]:
    """Makes each call once on a graph of edges [2, E], which compiles it; returns the work, unit and limit of each."""
    cached = {"INT8 in cache": product_in_cache(threads)}
    everything = cached | kernels_on(Graph(edges, nodes), Workers(threads))
    limits = [everything[name].limit for name in KERNELS]
    _timed.update((name, timed) for name, timed in everything.items() if name in KERNELS or name in limits)
    one_round()
    return {name: (timed.work, timed.unit, timed.limit) for name, timed in _timed.items()}


def one_round() -> dict[str, float]:
    """Makes every call once and returns the seconds that it took."""
    seconds: dict[str, float] = {}
    for name, timed in _timed.items():
        start = time.perf_counter()
        timed.call()
        seconds[name] = time.perf_counter() - start
    return seconds
