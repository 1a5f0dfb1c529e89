from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.cli.main import main
from app.deploy.sensitivity import EVERYTHING, Cost, SiteCosts, cost_rows, site_costs
from app.runs.loading import load_run
from app.runs.run_folder import Run
from models.quantization.control import rounding_only, rounding_sites


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., Run]) -> Path:
    """FP32 runs of a GIN and the same calibrated at 4 bits, of two seeds."""
    root = tmp_path_factory.mktemp("calibrated")
    for seed in (0, 1):
        train("synthetic/gin/fp32", root, seed=seed)
        train("synthetic/gin/ptq_int4", root, "--init-from=fp32", seed=seed, epochs=0)
    return root


def accuracy(run: Run) -> tuple[float, float]:
    metrics = run.read_result()["metrics"]
    return tuple(pytest.approx(100 * metrics[f"{stage}/accuracy"], abs=1e-3) for stage in ("val", "test"))


@pytest.mark.parametrize("seed", [0, 1])
def test_all_sites_are_the_run_and_no_site_is_fp32(root: Path, seed: int) -> None:
    run = Run(root / f"synthetic/gin/ptq_int4/seed={seed}")
    quantized, floats = site_costs(load_run(run))[EVERYTHING]
    assert (quantized.val, quantized.test) == accuracy(run)
    assert (floats.val, floats.test) == accuracy(Run(root / f"synthetic/gin/fp32/seed={seed}"))
    assert (floats.error, floats.agree) == (0, 100)
    assert quantized.error > 1


def test_a_site_alone_costs_what_it_costs_in_a_scheme_that_quantizes_nothing_else(root: Path) -> None:
    built = load_run(Run(root / "synthetic/gin/ptq_int4/seed=0"))
    found = site_costs(built)
    sites = [site.name for site in rounding_sites(built.model)]
    assert list(found) == [EVERYTHING, *sites]
    assert len(sites) == 14
    built.datamodule.setup("predict")
    (batch,) = built.datamodule.predict_dataloader()
    with torch.no_grad():
        before = built.model(batch)
        with rounding_only(built.model, ["convs.1.mlp.0.weights"]):
            (site,) = rounding_sites(built.model)
            weight = built.model.network.convs[1].mlp[0].weight
            assert len(site(weight).unique()) <= 16
            assert built.model(batch).unique().numel() > 16, "logits are not rounded"
        assert torch.equal(built.model(batch), before)
    last, least = found["convs.1.update"], min(found[site][0].error for site in sites)
    assert last[0].error > least > 0
    assert all(found[site][1].error > 0 for site in sites)


def test_a_table_has_a_row_per_site_with_means_over_runs(
    root: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [root / f"synthetic/gin/ptq_int4/seed={seed}" for seed in (0, 1)]
    output = tmp_path / "new" / "sites.csv"
    assert main(["sensitivity", "--run", *map(str, runs), "--format", "csv", "--output", str(output)]) == 0
    header, everything, *sites = csv.reader(output.read_text().splitlines())
    assert header[0] == "site"
    assert everything[0] == EVERYTHING
    assert len(sites) == 14
    tests = [100 * Run(run).read_result()["metrics"]["test/accuracy"] for run in runs]
    assert float(everything[header.index("alone: test")]) == pytest.approx(sum(tests) / 2, abs=0.01)
    assert main(["sensitivity", "--run", str(runs[0]), "--format", "markdown"]) == 0
    assert "\n| all sites | " in capsys.readouterr().out
    fp32 = root / "synthetic/gin/fp32/seed=0"
    assert f"--run {fp32}: its scheme is FP32" in refused("sensitivity", "--run", fp32)
    assert "no trained run here" in refused("sensitivity", "--run", tmp_path)


def test_a_regression_has_no_classes_to_agree_on() -> None:
    side = Cost(1.5, float("nan"), 0.4, 0.47123)
    header, row = cost_rows([{EVERYTHING: SiteCosts(side, side)}])
    assert header == [
        "site",
        *(f"{side}: {name}" for side in ("alone", "without") for name in ("error %", "val", "test")),
    ]
    assert row == [EVERYTHING, *["1.500", "0.400", "0.471"] * 2]


def test_runs_of_another_network_are_refused_before_the_work(
    root: Path, dq_run: Run, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = root / "synthetic/gin/ptq_int4/seed=0"
    monkeypatch.setattr("app.deploy.sensitivity.site_costs", lambda built: pytest.fail("measured first"))
    assert f"--run {other}: is of another cell than {dq_run.directory} (" in refused(
        "sensitivity", "--run", dq_run.directory, other
    )


def test_runs_that_differ_in_a_setting_are_not_averaged(
    root: Path, train: Callable[..., Run], tmp_path: Path, refused: Callable[..., str]
) -> None:
    one = root / "synthetic/gin/ptq_int4/seed=0"
    words = (f"--init-from={root / 'synthetic/gin/fp32/seed=0'}", "--model.scheme.bits=8")
    other = train("synthetic/gin/ptq_int4", tmp_path, *words, epochs=0)
    told = refused("sensitivity", "--run", one, other.directory)
    assert told.startswith(f"--run {other.directory}: is of another cell than {one} (")
    assert "bits: 4 -> 8" in told
