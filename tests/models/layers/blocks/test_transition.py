"""Transition: its formula in every arrangement, its sites, their signs and masks."""

from __future__ import annotations

import pytest
import torch

from models.layers import Transition
from models.quantization.control import quantizers

ARRANGEMENTS = {
    "activation": ({}, []),
    "coded": ({"coded": True}, [("activated", False)]),
    "coded elu": ({"coded": True, "activation": "elu"}, [("activated", True)]),
    "before": ({"batch_norm": "before"}, []),
    "coded before": ({"batch_norm": "before", "coded": True}, [("normalized", False)]),
    "after": ({"batch_norm": "after"}, []),
    "coded after": ({"batch_norm": "after", "coded": True}, [("normalized", True)]),
    "after elu": ({"batch_norm": "after", "activation": "elu"}, [("activated", True)]),
    "residual": ({"residual": True}, [("activated", False), ("residual", True)]),
    "all": ({"batch_norm": "before", "residual": True}, [("normalized", False), ("residual", True)]),
}


def formula(h, x, activation="relu", batch_norm=None, residual=False, coded=False):
    """The same, spelled out."""
    act = torch.relu if activation == "relu" else torch.nn.functional.elu

    def norm(h):
        return (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()

    h = act(norm(h)) if batch_norm == "before" else norm(act(h)) if batch_norm == "after" else act(h)
    return x + h if residual else h


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_fp32_is_the_formula(name, sites):
    settings, _ = ARRANGEMENTS[name]
    h, x = torch.randn(40, 6) + 0.3, torch.randn(40, 6)
    got = Transition(6, sites("fp32"), **settings)(h, x)
    torch.testing.assert_close(got, formula(h, x, **settings), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_sites_are_where_something_reads_codes(name, sites, spy, protect, on_grid):
    settings, expected = ARRANGEMENTS[name]
    transition = Transition(6, sites("qat", 4), **settings)
    assert [(site.name, site.config.signed) for site in quantizers(transition)] == expected
    assert {site.domain for site in quantizers(transition)} <= {"node"}
    seen = spy(transition, torch.randn(40, 6), torch.randn(40, 6), protect)
    for site in quantizers(transition):
        before, after = seen[site.name]
        assert torch.equal(after[protect], before[protect])
        assert torch.equal(after[~protect], on_grid(site, before[~protect]))


def test_a_norm_before_an_activation_without_a_clamp_is_refused(sites):
    with pytest.raises(ValueError, match="batch_norm: before elu it cannot be folded; use relu, or batch_norm: after"):
        Transition(6, sites("fp32"), activation="elu", batch_norm="before")
