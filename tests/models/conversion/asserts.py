"""Forwards with assertions. Those of files that pytest collects are rewritten by it."""

from __future__ import annotations


def asserted(s, x, e):
    assert x.dim() == 2, f"expected rows, got {x.shape}"
    assert x.dim() == 2 and x.size(1) == 4  # noqa: PT018 - as people write it
    assert not x.dim() == 3  # noqa: SIM201
    h = s.c(x, e)
    assert (
        h.size(0)
        == x.size(0)
    )  # fmt: skip
    return h


def either(s, x, e):
    assert x.dim() == 2 or x.dim() == 3
    return s.c(x, e)
