"""Noise of a fused pass: what is drawn, both ways, and that threads change nothing."""

from __future__ import annotations

import pytest
import torch

from models.quantization.fused.noise import with_noise


def drawn_by_hand(seed: int, place: int) -> int:
    """The upper 32 bits of the output of SplitMix64 at a place, by integers without limits."""
    mask = 2**64 - 1
    bits = (seed + place * 0x9E3779B97F4A7C15) & mask
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
    return (bits ^ (bits >> 31)) >> 32


def test_entries_are_those_that_the_seed_draws():
    torch.manual_seed(5)
    seed = torch.randint(2**63 - 1, ()).item()
    torch.manual_seed(5)
    got = with_noise(torch.ones(7, 13), torch.zeros(7, 13), 0.3)
    expected = [drawn_by_hand(seed, place) < round(0.3 * 2**32) for place in range(91)]
    assert got.bool().view(-1).tolist() == expected


def test_gradients_go_where_values_come_from():
    rounded, x = (torch.randn(300, 40, requires_grad=True) for _ in range(2))
    y, gradient = with_noise(rounded, x, 0.5), torch.randn(300, 40)
    y.backward(gradient)
    of_rounded = y == rounded
    assert torch.equal(rounded.grad, torch.where(of_rounded, gradient, 0.0))
    assert torch.equal(x.grad, torch.where(of_rounded, 0.0, gradient))


@pytest.mark.parametrize("shape", [(20_001, 30), (600_001,), (5_001, 12, 10)])
def test_threads_change_nothing(shape):
    results, before = [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        results.append(with_noise(torch.ones(shape), torch.zeros(shape), 0.5))
    torch.set_num_threads(before)
    assert torch.equal(*results)
    assert 0.49 < results[0].mean() < 0.51


def test_all_and_other_numbers_are_taken():
    rounded, x = torch.ones(50, 40, dtype=torch.float64), torch.zeros(50, 40, dtype=torch.float64)
    assert with_noise(rounded, x, None) is rounded
    assert 0.4 < with_noise(rounded, x, 0.5).mean() < 0.6
    assert torch.equal(with_noise(rounded.float(), x.float(), 1.0), rounded.float())
