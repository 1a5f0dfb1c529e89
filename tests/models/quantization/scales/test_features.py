"""Values with a grid a feature: in training, in evaluation, and in programs."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from app.engine import Executable, Graph
from app.engine.program.io import save_program
from app.runs.exactness import compare
from models.architectures import GAT, GCN, GIN, GraphSAGE
from models.architectures.overrides import check_scheme
from models.layers import MLP
from models.quantization import control
from models.quantization.control import calibrate, synchronise_ranges
from models.quantization.protection import degree_cdf
from models.quantization.qconfig import NoiseConfig, ObserverConfig, SiteOverride
from models.quantization.range_grids import RANGE_MARGIN
from models.quantization.scales.features import FeatureScales
from models.quantization.sites import Sites
from models.tasks import NodeClassification
from tests.fake_gpu import GPU, fake_gpu, host_waits
from tests.models.given_batches import GivenBatches

WIDTH = 5
POWERS = torch.tensor([0.25, 1.0, 2.0**-20, 8.0, 2.0**20])
NETWORKS = {
    "gcn": (GCN, {}),
    "gcn factored": (GCN, {"norm": "factored"}),
    "gat": (GAT, {"activation": "relu"}),
    "gin": (GIN, {"mlp_layers": 2, "mlp_batch_norm": True}),
    "gcn carried": (GCN, {"roundings": "needed"}),
    "gcn factored, carried": (GCN, {"norm": "factored", "roundings": "needed"}),
    "gat carried": (GAT, {"activation": "relu", "roundings": "needed"}),
}


def feature_site(scheme):
    return Sites(scheme, by_feature={"update": WIDTH})("update", "node")


@pytest.fixture
def make_site(make_scheme):
    """make_site(bits, **settings) -> a site whose five features have a grid each."""

    def make(bits=8, **settings):
        return feature_site(make_scheme("qat", bits, activation_scales="feature", **settings))

    return make


@pytest.fixture
def rows():
    return torch.randn(300, WIDTH) * torch.tensor([1.0, 0.01, 30.0, 1e-3, 3.0]) + torch.tensor(
        [0.0, 5.0, -9.0, 0.0, 1.0]
    )


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_each_feature_uses_all_codes_and_is_off_by_half_its_step(make_site, rows, bits):
    site = make_site(bits, observer=ObserverConfig("minmax"))
    y, codes, factor = site(rows), site.codes(rows), site.features().factor
    assert isinstance(site, FeatureScales)
    assert codes.amin(0).tolist() == [-(2 ** (bits - 1))] * WIDTH
    assert codes.amax(0).tolist() == [2 ** (bits - 1) - 1] * WIDTH
    assert ((y - rows).abs() * factor <= 0.5 * RANGE_MARGIN).all()
    assert torch.equal(y.detach(), site.eval()(rows))


def test_a_feature_knows_nothing_of_the_others(make_site, rows):
    together = make_site(4)(rows)
    for column in range(WIDTH):
        alone = rows.clone()
        alone[:, [other for other in range(WIDTH) if other != column]] = 0.0
        assert torch.equal(make_site(4)(alone)[:, column], together[:, column])


def test_a_feature_s_magnitude_changes_nothing_but_its_scale(make_site, rows):
    one, other = make_site(4), make_site(4)
    assert torch.equal(other(rows * POWERS), one(rows) * POWERS)
    assert torch.equal(other.codes(rows * POWERS), one.codes(rows))
    assert torch.equal(other.features().shift, one.features().shift)


def test_protected_rows_pass_and_move_no_range(make_site, rows):
    protect = torch.arange(len(rows)) % 3 == 0
    site, other = make_site(4), make_site(4)
    y = site(torch.where(protect[:, None], 1000 * rows, rows), protect)
    assert torch.equal(y[protect], 1000 * rows[protect])
    assert torch.equal(y[~protect], other(rows[~protect]))


def test_running_ranges_widen_and_others_follow(make_site, rows):
    running = make_site(observer=ObserverConfig("minmax", "running"))
    momentum = make_site(observer=ObserverConfig("minmax", "momentum", momentum=0.5))
    for site in (running, momentum):
        site(rows)
        site(rows / 2)
    ends = rows.amin(0), rows.amax(0)
    assert torch.equal(
        running.observer.range, torch.stack([ends[0].minimum(ends[0] / 2), ends[1].maximum(ends[1] / 2)], 1)
    )
    assert torch.equal(momentum.observer.range, torch.stack(ends, 1) * 0.75)


def test_a_percentile_is_that_of_each_feature(make_site):
    rows = torch.arange(1000.0)[torch.randperm(1000), None] * POWERS
    site = make_site(observer=ObserverConfig("percentile", percentile=1.0))
    site(rows)
    assert torch.equal(site.observer.range, torch.stack([10.0 * POWERS, 989.0 * POWERS], 1))


@pytest.mark.parametrize("symmetric", [True, False])
def test_symmetric_grids_and_powers_of_two(make_site, rows, symmetric):
    site = make_site(4, symmetric=symmetric, power_of_two=True, observer=ObserverConfig("minmax"))
    y, (factor, shift) = site(rows), site.features()
    assert torch.equal(factor, torch.exp2(factor.log2().round()))
    assert (not shift.any()) is symmetric
    assert ((y - rows).abs() * factor <= 0.5 * RANGE_MARGIN).all()


def test_a_constant_feature_stays_what_it_is(make_site, rows):
    rows[:, 1], rows[:, 2] = 7.0, 0.0
    y = make_site(4)(rows)
    assert not y[:, 2].any()
    torch.testing.assert_close(y[:, 1], rows[:, 1], rtol=1e-4, atol=0.0)


def test_gradients_pass_where_no_code_is_clamped(make_site, rows):
    site = make_site(4)
    site(rows)
    site.observing = False
    beyond = (rows * 3).requires_grad_()
    site(beyond).sum().backward()
    aligned = site.aligned(beyond.detach()).round()
    assert torch.equal(beyond.grad.bool(), (aligned >= -8) & (aligned <= 7))


def test_noise_leaves_entries_alone_in_training_only(make_site, rows):
    site = make_site(4, noise=NoiseConfig(0.3, "all"))
    changed = site(rows) != rows
    assert 0.1 < changed.float().mean() < 0.5
    assert (site.eval()(rows) != rows).float().mean() > 0.9


def test_ranks_agree_on_ranges_of_sites_and_of_features(make_site, make_scheme, monkeypatch, rows):
    plain = Sites(make_scheme("qat"))("inputs", "node")
    sites = torch.nn.ModuleList([make_site(), plain])
    for site in sites:
        site(rows)
    mine = [site.observer.range.clone() for site in sites]
    monkeypatch.setattr(control, "has_other_ranks", lambda: True)
    monkeypatch.setattr(control, "gather_from_ranks", lambda x: torch.stack([x, x * 2]))
    synchronise_ranges(sites)
    for site, own in zip(sites, mine, strict=True):
        lo, hi = own.unbind(-1)
        assert torch.equal(site.observer.range, torch.stack([lo.minimum(lo * 2), hi.maximum(hi * 2)], -1))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("variant", NETWORKS)
def test_the_integer_program_computes_what_was_trained(variant, bits, make_scheme, random_edges, tmp_path):
    kind, sizes = NETWORKS[variant]
    edges, x = random_edges(400, 1600), torch.randn(400, 12)
    batch = Data(x=x, edge_index=edges, y=x[:, :5].argmax(1), degree_cdf=degree_cdf(edges, 400))
    scheme = make_scheme("dq", bits, activation_scales="feature")
    make = lambda i, o, s: kind(i, o, s, layers=3, batch_norm="before", **sizes)  # noqa: E731
    task = NodeClassification(make, 12, 5, scheme)
    optimizer = torch.optim.Adam(task.network.parameters(), lr=0.02)
    for _ in range(10):
        optimizer.zero_grad()
        cross_entropy(task.network(batch.x, batch.edge_index, batch.degree_cdf), batch.y).backward()
        optimizer.step()
    read = [site for site in task.network.modules() if isinstance(site, FeatureScales)]
    roles = {"features"} if "roundings" in sizes else {"update", *(["features"] if kind is GIN else [])}
    assert {site.role for site in read} == roles
    program = task.network.lower()
    assert all(
        (program.values[site.name].grid.scale, program.values[site.name].grid.zero_point) == (1.0, 0) for site in read
    )
    report = compare(task, GivenBatches(batch), save_program(program, tmp_path))
    assert report["codes_differing"] <= report["codes"] / 10_000, report
    assert report["largest_difference"] <= 1, report
    assert report["margin_violations"] == 0, report
    graph = Graph(edges.numpy(), 400)
    logits = [Executable(program, name).run(x.numpy(), graph) for name in ("compiled", "reference")]
    assert torch.equal(*map(torch.from_numpy, logits))


def test_what_a_feature_loses_beside_a_large_one_it_keeps_with_a_grid_of_its_own(make_scheme):
    """Of two features that a BatchNorm reads one is a hundred times as large: on one grid the other has one code."""
    x, used = torch.rand(200, 2), {}
    for scales in ("tensor", "feature"):
        scheme = make_scheme("qat", 4, activation_scales=scales, weight_scales="column")
        mlp = MLP(2, [2, 2], Sites(scheme), batch_norm=True)
        mlp.linears[0].weight.data = torch.diag(torch.tensor([1.0, 100.0]))
        calibrate(mlp, lambda mlp=mlp: mlp(x))
        read = []
        mlp.linears[0].features.register_forward_hook(lambda site, x, _, read=read: read.append(site.codes(x[0])))
        mlp(x)
        used[scales] = len(read[0][:, 0].unique())
    assert used["tensor"] == 1
    assert used["feature"] > 8


@pytest.mark.parametrize(
    ("kind", "arguments", "settings"),
    [
        (GCN, {}, {}),
        (GCN, {"batch_norm": "after"}, {}),
        (GIN, {"batch_norm": "before", "roundings": "needed"}, {}),
        (GAT, {"roundings": "needed", "concat": False}, {}),
        (GraphSAGE, {"batch_norm": "before"}, {}),
    ],
)
def test_scales_a_feature_that_change_nothing_are_refused(kind, arguments, settings, make_scheme):
    scheme = make_scheme("qat", 8, activation_scales="feature", **settings)
    with pytest.raises(ValueError, match="activation_scales: feature changes nothing here: only what a BatchNorm"):
        check_scheme(kind(4, 3, scheme, **arguments), scheme)


def test_a_rule_gives_single_sites_scales_a_feature_or_names_the_site_that_cannot(make_scheme):
    def network(*rules, **settings):
        return GCN(4, 3, make_scheme("qat", 8, overrides=list(rules), **settings), layers=3, batch_norm="before")

    def of_features(made):
        return [site.name for site in made.modules() if isinstance(site, FeatureScales)]

    one, role = SiteOverride("convs.0.update", scales="feature"), SiteOverride("*.update", scales="feature")
    assert of_features(network(one)) == ["convs.0.update"]
    assert of_features(network(role)) == ["convs.0.update", "convs.1.update"]
    spared = SiteOverride("convs.1.update", scales="tensor")
    assert of_features(network(spared, activation_scales="feature")) == ["convs.0.update"]
    with pytest.raises(ValueError, match=r"overrides: site convs\.2\.update cannot have a scale a feature: what reads"):
        network(SiteOverride("convs.2.update", scales="feature"))
    with pytest.raises(ValueError, match=r"overrides: site convs\.0\.inputs cannot have"):
        network(SiteOverride("convs.0.*", scales="feature"))
    with pytest.raises(ValueError, match=r"site convs\.0\.update: learned ranges have one step a site"):
        network(role, observer=ObserverConfig(accumulation="learned"))
    check_scheme(network(role), network(role).scheme)
    nothing = GCN(4, 3, make_scheme("qat", 8, overrides=[role]))
    with pytest.raises(ValueError, match=r"rule 1 \(\*\.update\): no site of this network can have a scale a feature"):
        check_scheme(nothing, nothing.scheme)


@pytest.mark.parametrize("accumulation", [{"accumulation": "running"}, {"accumulation": "momentum", "momentum": 0.1}])
@pytest.mark.parametrize("statistic", [{"statistic": "minmax"}, {"statistic": "percentile", "percentile": 1.0}])
def test_on_a_gpu_grids_and_values_are_those_of_the_host_and_nothing_waits(make_site, rows, statistic, accumulation):
    here = make_site(observer=ObserverConfig(**statistic, **accumulation))
    there = deepcopy(here)
    with fake_gpu():
        there.to(GPU)
        for share in (1.0, 0.3, 0.0, 0.2):
            x, protect = rows * (2.0 - share) + share, torch.rand(len(rows)) < share
            moved = x.to(GPU), protect.to(GPU)
            with host_waits() as waits:
                rounded = there(*moved)
            assert not waits
            assert torch.equal(rounded.cpu(), here(x, protect))
            assert torch.equal(there.observer.range.cpu().nan_to_num(), here.observer.range.nan_to_num())
    assert not here.observer.range.isnan().any()
