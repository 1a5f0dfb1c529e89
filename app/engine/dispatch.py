"""Chooses for every call between plain kernels and those on vectors, and runs them on several threads.

DEGREE_QUANT_SIMD=0 in the environment forces the plain ones; results are the same codes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from app.engine import kernels, simd, vector_kernels, vector_linear, vector_maps
from app.engine.graph import Adjacency
from app.engine.workers import Workers

Codes = np.ndarray
Limits = tuple[int, np.float32, np.float32]

VECTORS = simd.AVX2 and os.environ.get("DEGREE_QUANT_SIMD") != "0"
"""Whether kernels on vectors are used."""


BLOCK = 1024
"""Elements handed out together."""


def elementwise(
    kernel: Callable[..., None], inputs: list[np.ndarray], *constants: Any, dtype: Any, workers: Workers
) -> Any:
    """kernel(*inputs, *constants, out), for inputs of one shape, on stretches of their elements."""
    flat = [x.reshape(-1) for x in inputs]
    out = workers.buffers.empty(inputs[0].shape, dtype)
    written = out.reshape(-1)

    def part(first: int, last: int) -> None:
        stretch = slice(first * BLOCK, last * BLOCK)
        kernel(*(x[stretch] for x in flat), *constants, written[stretch])

    workers.run(part, -(-written.size // BLOCK))
    return out


def fastest(name: str) -> Callable[..., None]:
    """The kernel of that name for all codes alike: on vectors where there are any."""
    return getattr(vector_maps if VECTORS else kernels, name)


def requantize(
    x: Codes, x_zero: int, multipliers: np.ndarray, addend: np.ndarray, limits: Limits, workers: Workers
) -> Codes:
    """Codes [n, W] times multipliers [W] plus addend [W] -> codes [n, W]."""
    kernel = vector_maps.requantize if VECTORS and x.shape[1] >= vector_maps.LANES else kernels.requantize
    out = workers.buffers.empty(x.shape, np.uint8)
    constants = x_zero, multipliers, addend, *limits
    workers.run(lambda first, last: kernel(x[first:last], *constants, out[first:last]), len(x))
    return out


def attention_logits(
    x: Codes,
    x_zero: int,
    vectors: tuple[np.ndarray, np.ndarray],
    edges: Adjacency,
    multiplier: np.float32,
    limits: Limits,
    workers: Workers,
) -> Codes:
    """Codes [N, H * C] and attention vectors [H, C] -> codes of a logit for every edge and head [E, H]."""
    rows, heads = len(x), len(vectors[0])
    sides = np.empty((rows, heads), np.int32), np.empty((rows, heads), np.int32)
    workers.run(lambda first, last: kernels.project(x, x_zero, *vectors, *sides, first, last), rows)
    out = workers.buffers.empty((edges.num_edges, heads), np.uint8)
    arguments = *sides, edges.indptr, edges.sources, multiplier, *limits, out
    vectors_fit = VECTORS and heads >= vector_kernels.NARROWEST
    kernel = vector_kernels.attention_logits if vectors_fit else kernels.attention_logits
    workers.run(lambda first, last: kernel(*arguments, first, last), rows, edges.indptr)
    return out


def edge_softmax(
    logits: Codes, values: np.ndarray, exponentials: np.ndarray, indptr: np.ndarray, workers: Workers
) -> np.ndarray:
    """Softmax of values[logits] [E, H] over the edges into each node, in float32."""
    out = workers.buffers.empty(logits.shape, np.float32)
    arguments = logits, values, exponentials, indptr, out
    workers.run(lambda first, last: kernels.softmax(*arguments, first, last), indptr.size - 1, indptr)
    return out


def linear(
    weight: np.ndarray, x_zero: int, largest: int, addend: np.ndarray, limits: Limits, workers: Workers
) -> Callable[[Codes, np.ndarray], Codes]:
    """Prepares r_w [M, K]; the result takes codes [N, K] from 0 to `largest` and multipliers [N] to codes [N, M]."""
    width, depth = weight.shape
    if VECTORS and depth >= vector_linear.GROUP and width and np.abs(weight + 0.5).max() < 128:
        packed = vector_linear.pack(weight, x_zero)
        kernel: Callable[..., None] = vector_linear.linear(
            vector_linear.best_dot(packed.quads, largest), packed.columns
        )
        padded = np.zeros(packed.start.size, np.float32)
        padded[:width] = addend
        constants: tuple[Any, ...] = (packed.quads, packed.start)
    else:
        kernel, padded = kernels.linear, addend
        constants = (x_zero, np.ascontiguousarray(weight.T))

    def run(x: Codes, multipliers: np.ndarray) -> Codes:
        out = workers.buffers.empty((len(x), width), np.uint8)
        workers.run(lambda first, last: kernel(x, *constants, multipliers, padded, *limits, out, first, last), len(x))
        return out

    return run


def sum_rows(
    x: Codes, x_zero: int, edges: Adjacency, multipliers: np.ndarray, limits: Limits, workers: Workers
) -> Codes:
    """Rows of codes [N, W] summed over the edges into each target."""
    kernel = vector_kernels.sum_rows if VECTORS and x.shape[1] >= vector_kernels.NARROWEST else kernels.sum_rows
    out = workers.buffers.empty((multipliers.size, x.shape[1]), np.uint8)
    arguments = x, x_zero, edges.indptr, edges.sources, multipliers, *limits, out
    workers.run(lambda first, last: kernel(*arguments, first, last), multipliers.size, edges.indptr)
    return out


def weighted_sum(
    x: Codes,
    x_zero: int,
    factors: np.ndarray,
    scale: np.float32,
    largest_factor: float,
    edges: Adjacency,
    message_limits: tuple[np.float32, np.float32],
    multiplier: np.float32,
    limits: Limits,
    workers: Workers,
) -> Codes:
    """Messages of codes [N, H * C] and factors [E, H] times `scale`, summed over the edges into each node."""
    width, rows = x.shape[1], edges.indptr.size - 1
    fits = width // factors.shape[1] >= vector_kernels.NARROWEST and largest_factor < vector_kernels.LARGEST_FACTOR
    kernel = vector_kernels.weighted_sum if VECTORS and fits else kernels.weighted_sum
    out = workers.buffers.empty((rows, width), np.uint8)
    arguments = x, x_zero, factors, scale, edges.indptr, edges.sources, *message_limits, multiplier, *limits, out
    workers.run(lambda first, last: kernel(*arguments, first, last), rows, edges.indptr)
    return out
