"""What acts on all sites of a model at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.quantization.control import calibrate, protections, quantizers, set_observing, synchronise_ranges
from models.quantization.protection import Protection
from models.quantization.qconfig import NoiseConfig, QuantScheme, SiteOverride
from models.quantization.sites import Sites
from models.quantization.sparse import SparseRows


class Chain(nn.Module):
    """Three sites around two products, with dropout and a mask that would make any draw visible."""

    def __init__(self, scheme):
        super().__init__()
        sites = Sites(scheme)
        self.first, self.second, self.third = (sites(role, "node") for role in ("inputs", "features", "update"))
        self.dropout = nn.Dropout(0.5)
        self.protection = Protection(1.0, 1.0)

    def forward(self, x):
        protect = self.protection.draw(torch.ones(len(x)), 1)[0] if self.training else None
        x = self.first(self.dropout(x), protect)
        return self.third(3.0 * self.second(0.37 * x, protect), protect)


@pytest.fixture
def chain():
    """Under four bits, where each site visibly rounds; the second site stays in FP32."""
    return Chain(QuantScheme("test", 4, noise=None, overrides=[SiteOverride("features", bits=32)]))


def test_quantizers_and_protections_are_found_in_order(chain):
    assert [site.name for site in quantizers(chain)] == ["inputs", "update"]
    assert list(protections(chain)) == [chain.protection]


def test_observing_is_switched_everywhere_and_is_state(chain):
    set_observing(chain, observing=False)
    assert not any(site.observing for site in quantizers(chain))
    resumed = Chain(QuantScheme("test", 4, overrides=[SiteOverride("features", bits=32)]))
    resumed.load_state_dict(chain.state_dict())
    assert not any(site.observing for site in quantizers(resumed))
    set_observing(chain, observing=True)
    assert all(site.observing for site in quantizers(chain))


@pytest.mark.parametrize("training", [True, False])
def test_calibration_sets_frozen_ranges_too_and_ends_with_the_forward(chain, training):
    set_observing(chain, observing=False)
    x = torch.randn(50, 4)
    calibrate(chain.train(training), lambda: chain(x))
    before = [site.grid() for site in quantizers(chain)]
    chain(100 * x)
    assert [site.grid() for site in quantizers(chain)] == before


@pytest.mark.parametrize("training", [True, False])
def test_calibration_sees_the_evaluation_forward_site_after_site(chain, training):
    x = torch.randn(50, 4)
    chain.train(training)
    state = torch.get_rng_state()
    calibrate(chain, lambda: chain(x))
    assert torch.equal(torch.get_rng_state(), state), "calibration drew a mask or dropped something"
    assert not any(module.training for module in chain.modules())
    assert chain.first.observer.bounds == tuple(end.item() for end in x.aminmax())
    after_first = 3.0 * (0.37 * chain.first(x))
    assert not torch.equal(after_first, 3.0 * (0.37 * x))
    assert chain.third.observer.bounds == tuple(end.item() for end in after_first.aminmax())


def test_calibration_records_no_graph(chain):
    x = torch.randn(50, 4, requires_grad=True)
    results = []
    calibrate(chain, lambda: results.append(chain(x)))
    assert not results[0].requires_grad


def test_calibration_has_no_noise():
    chain = Chain(QuantScheme("nqat", 4, noise=NoiseConfig(0.5)))
    x = torch.randn(50, 4)
    results = []
    calibrate(chain, lambda: results.append(chain(x)))
    assert torch.equal(results[0], chain(x))


def test_synchronising_one_process_changes_nothing(chain):
    chain.protection.p_min.fill_(0.0)
    chain.protection.p_max.fill_(0.0)
    chain(torch.randn(5, 4))
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    synchronise_ranges(chain)
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())


def test_a_failing_forward_leaves_no_observer_behind(chain):
    calibrate(chain, lambda: chain(torch.randn(50, 4)))
    before = [site.grid() for site in quantizers(chain)]
    with pytest.raises(ZeroDivisionError):
        calibrate(chain, lambda: 1 / 0)
    chain(torch.full((5, 4), 100.0))
    assert [site.grid() for site in quantizers(chain)] == before


def test_calibration_reads_the_stored_entries_of_sparse_rows():
    site = Sites(QuantScheme("test", 8))("inputs", "node")
    dense = torch.tensor([[0.0, 2.0], [-3.0, 0.0]])
    calibrate(site, lambda: site(SparseRows.from_tensor(dense.to_sparse_csr())))
    assert site.observer.bounds == (-3.0, 2.0)
