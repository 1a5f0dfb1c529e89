"""Ranges of several ranks become one: of two real processes with different data, and by the functions alone.

Each process imports this file, so it imports no more than it needs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import spawn

from models.quantization.control import quantizers, synchronise_ranges
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.qconfig import ObserverConfig, QuantScheme, SiteOverride
from models.quantization.ranks import gather_from_ranks, merge_ranges
from models.quantization.sites import Sites

RANGES = {"both": ([-1.0, 5.0], [-4.0, 2.0]), "first_only": ([-1.0, 5.0], None), "second_only": (None, [-4.0, 2.0])}
"""Extremes of what each rank sees at each site; None: nothing."""

UNSEEN = [float("nan")] * 2
OF_THREE_RANKS = torch.tensor([[-1.0, 2.0], UNSEEN, [-3.0, 1.0]])


class Model(nn.Module):
    """A running and a momentum tracker for each case, and one that nobody ever uses."""

    def __init__(self) -> None:
        super().__init__()
        momentum = SiteOverride("momentum.*", observer=ObserverConfig(accumulation="momentum"))
        sites = Sites(QuantScheme("test", 8, overrides=[momentum]))
        names = [*(f"{kind}.{case}" for kind in ("running", "momentum") for case in RANGES), "unused"]
        self.sites = nn.ModuleList(sites.child(name)("inputs", "node") for name in names)


def place_of(site: FakeQuantize) -> str:
    """`running.both` of a site called `running.both.inputs`."""
    return site.name.removesuffix(f".{site.role}")


def work(rank: int, folder: str) -> None:
    """One rank: sees its own data, synchronises twice, saves its ranges."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    model = Model()
    for site in quantizers(model):
        ends = RANGES.get(place_of(site).partition(".")[2], (None, None))[rank]
        if ends is not None:
            site(torch.linspace(*ends, 100))
    for _ in range(2):
        synchronise_ranges(model)
    np.savez(f"{folder}/{rank}.npz", **{place_of(site): site.observer.range.numpy() for site in quantizers(model)})
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def synchronised(tmp_path_factory):
    """Ranges by site name, of both ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(work, args=(str(folder),), nprocs=2)
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


@pytest.mark.slow
def test_both_ranks_hold_the_same_ranges(synchronised):
    first, second = synchronised
    assert first.keys() == second.keys()
    for name, ends in first.items():
        np.testing.assert_array_equal(ends, second[name])


@pytest.mark.slow
def test_running_ranges_become_the_union(synchronised):
    assert synchronised[0]["running.both"].tolist() == [-4.0, 5.0]


@pytest.mark.slow
def test_momentum_ranges_become_the_mean(synchronised):
    assert synchronised[0]["momentum.both"].tolist() == [-2.5, 3.5]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["running", "momentum"])
def test_a_rank_that_has_seen_nothing_does_not_count(kind, synchronised):
    for ranges in synchronised:
        assert ranges[f"{kind}.first_only"].tolist() == [-1.0, 5.0]
        assert ranges[f"{kind}.second_only"].tolist() == [-4.0, 2.0]


@pytest.mark.slow
def test_a_site_nobody_has_used_stays_unseen(synchronised):
    assert np.isnan(synchronised[0]["unused"]).all()


def test_the_union_holds_every_range_that_has_seen_data():
    assert merge_ranges(OF_THREE_RANKS).tolist() == [-3.0, 2.0]


def test_the_mean_is_over_the_ranges_that_have_seen_data():
    assert merge_ranges(OF_THREE_RANKS, average=True).tolist() == [-2.0, 1.5]


def test_ranges_without_data_stay_unknown():
    assert merge_ranges(torch.tensor([UNSEEN, UNSEEN])).isnan().all()


def test_without_a_process_group_there_is_one_rank():
    x = torch.randn(3, 2)
    assert torch.equal(gather_from_ranks(x), x[None])
