"""Which values of a block share a piece of memory."""

from __future__ import annotations

from collections.abc import Mapping
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
    last_use: list[int] = []
    for name, lifetime in sorted(lifetimes.items(), key=lambda item: item[1].first):
        free = [piece for piece, last in enumerate(last_use) if last < lifetime.first]
        if free:
            piece = max(free, key=last_use.__getitem__)
            last_use[piece] = lifetime.last
        else:
            piece = len(last_use)
            last_use.append(lifetime.last)
        pieces[name] = piece
    return pieces
