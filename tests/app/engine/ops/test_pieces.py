"""Values that are alive at once never share memory, and no memory is wasted."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.ops.layout import Lifetime, assign_pieces


def alive(lifetimes, number):
    return [name for name, (first, last) in lifetimes.items() if first <= number <= last]


@pytest.mark.parametrize("seed", range(20))
def test_values_alive_at_once_have_pieces_of_their_own(seed):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 30, 40).tolist()
    lifetimes = {str(i): Lifetime(first, first + int(rng.integers(0, 6))) for i, first in enumerate(starts)}
    pieces = assign_pieces(lifetimes)
    assert pieces.keys() == lifetimes.keys()
    crowds = [alive(lifetimes, number) for number in range(40)]
    for crowd in crowds:
        assert len({pieces[name] for name in crowd}) == len(crowd)
    assert len(set(pieces.values())) == max(map(len, crowds))


def test_an_op_does_not_write_over_what_it_reads():
    """Values of a chain of ops: each is read by the op that makes the next."""
    assert assign_pieces({"a": Lifetime(0, 1), "b": Lifetime(1, 2), "c": Lifetime(2, 3)}) == {"a": 0, "b": 1, "c": 0}


def test_the_piece_used_last_is_used_next():
    lifetimes = {"early": Lifetime(0, 0), "late": Lifetime(0, 2), "next": Lifetime(3, 3)}
    pieces = assign_pieces(lifetimes)
    assert pieces["next"] == pieces["late"]


def test_no_values_need_no_memory():
    assert assign_pieces({}) == {}
