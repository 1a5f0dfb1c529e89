"""Kernels of noise: what an entry draws is a function of a seed and of its place, SplitMix64 (Steele et al. 2014)."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from models.quantization.fused.kernels import kernel

# Of SplitMix64, as its authors give them.
STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
A, B, C, HALF = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@kernel
def is_chosen(seed, place, limit):
    """Whether the 32 random bits of a place are below `limit`; all three uint64."""
    bits = seed + place * STEP
    bits = (bits ^ (bits >> A)) * FIRST
    bits = (bits ^ (bits >> B)) * SECOND
    return (bits ^ (bits >> C)) >> HALF < limit


@kernel
def mix(seed, first, limit, chosen, others, out):
    """out = `chosen` in the places that are drawn, else `others`. Flat arrays, whose first entry has place `first`."""
    for i in range(out.size):
        out[i] = chosen[i] if is_chosen(seed, np.uint64(first + i), limit) else others[i]


@kernel
def split(seed, first, limit, gradient, to_chosen, to_others):
    """The gradients of what `mix` reads: each entry goes to one of them, and the other gets 0."""
    for i in range(gradient.size):
        drawn = is_chosen(seed, np.uint64(first + i), limit)
        to_chosen[i] = gradient[i] if drawn else np.float32(0.0)
        to_others[i] = np.float32(0.0) if drawn else gradient[i]
