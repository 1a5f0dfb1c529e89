"""Which values of a block share a piece of memory."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import NamedTuple


class Lifetime(NamedTuple):
    """The numbers of the first and the last op that need a value's memory."""

    first: int
    last: int


def assign_pieces(lifetimes: Mapping[str, Lifetime]) -> dict[str, int]:
    """Returns the number of a piece of memory for every value; values that are alive at once get different ones.

    Values are taken in the order in which their lives begin. Each gets a free piece, that is one whose values have all
    been read for the last time by earlier ops, or else a new one. Of several free pieces it gets the one that was used
    last, since that is most likely still in the cache.
    """
    pieces: dict[str, int] = {}
    in_use: list[tuple[int, int]] = []  # a heap of last uses and pieces; of one last use, the lowest piece comes last
    free: list[int] = []  # in order of last use
    number = 0
    for name, lifetime in sorted(lifetimes.items(), key=lambda item: item[1].first):
        while in_use and in_use[0][0] < lifetime.first:
            free.append(-heappop(in_use)[1])
        if free:
            pieces[name] = free.pop()
        else:
            pieces[name] = number
            number += 1
        heappush(in_use, (lifetime.last, -pieces[name]))
    return pieces
