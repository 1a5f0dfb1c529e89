from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning.utilities import rank_zero_only

from app.cli.main import main
from app.config.checkpoints import read_checkpoint
from app.config.settings import read_yaml
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]
Small = Callable[..., list[str]]


def test_seeds_make_different_runs_and_one_command_makes_several(
    small: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert main(["fit", "--cell", CELL, "--seed", "0-1", "--runs-root", str(tmp_path), *small(1)]) == 0
    zero, one = (read_checkpoint(Run(tmp_path / CELL / f"seed={k}").last_checkpoint)["state_dict"] for k in (0, 1))
    assert not torch.equal(zero["network.convs.0.weight"], one["network.convs.0.weight"])


def test_the_config_of_a_run_is_the_printed_one(
    dq_run: Run, small: Callable[..., list[str]], trained_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--cell", CELL, "--seed", "3", "--runs-root", str(trained_root), *small()]
    capsys.readouterr()
    assert main(["fit", *words, "--print_config"]) == 0
    printed, kept = yaml.safe_load(capsys.readouterr().out), read_yaml(dq_run.config, "")
    kept["trainer"].pop("default_root_dir")
    printed["trainer"].pop("default_root_dir")
    assert printed == kept


def test_print_config_prints_the_resolved_yaml_and_makes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--cell", CELL, "--seed", "4", "--model.lr", "0.3", "--runs-root", str(tmp_path / "runs")]
    assert main(["fit", "--print_config", *words]) == 0
    out, err = capsys.readouterr()
    settings = yaml.safe_load(out)
    assert err == ""
    assert settings["seed_everything"] == 4
    assert settings["model"]["init_args"]["lr"] == 0.3
    assert settings["model"]["init_args"]["scheme"]["bits"] == 8
    assert settings["data"]["class_path"] == "datamodules.SyntheticDataModule"
    assert not (tmp_path / "runs").exists()


def test_print_config_is_a_config_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fit", "--cell", "synthetic/gat/nqat_int4", "--model.lr", "0.3", "--print_config"]) == 0
    first = capsys.readouterr().out
    (tmp_path / "all.yaml").write_text(first)
    assert main(["fit", "--config", str(tmp_path / "all.yaml"), "--print_config"]) == 0
    assert capsys.readouterr().out.replace("/all/", "/") == first


def test_help_all_lists_settings_without_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["fit", "--help-all"])
    assert end.value.code == 0
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_missing_raw_files_without_network_are_one_line(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str, timeout: float) -> None:
        raise OSError("no route")

    monkeypatch.setattr("datamodules.raw.raw_files.urlopen", no_network)
    told = refused("fit", "--cell", "cora/gcn/fp32", "--data.root", tmp_path / "raw", "--runs-root", tmp_path / "runs")
    assert told.startswith("Cora: ind.cora.x is missing and its download failed (no route): put https://")
    assert told.endswith(str(tmp_path / "raw" / "Cora" / "raw"))


def test_a_runs_root_that_cannot_be_written_is_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path / "file")
    assert "cannot be written (Not a directory); give another --runs-root" in told


@pytest.fixture(params=[{"RANK": "1"}, {"LOCAL_RANK": "1"}, {"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}], ids=str)
def task_of_a_job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that makes Lightning take this process, which trains alone, for the second of several."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)


@pytest.mark.usefixtures("task_of_a_job")
def test_a_task_of_a_job_that_trains_alone_holds_its_run(refused: Refused, small: Small, tmp_path: Path) -> None:
    run = Run(tmp_path / CELL / "seed=0")
    with run.exclusive():
        told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, *small(1))
    assert "another process is training this run" in told
    assert run.progress == "new"


@pytest.mark.usefixtures("task_of_a_job")
def test_a_task_of_a_job_that_trains_alone_writes_its_log(train: Callable[..., Run], tmp_path: Path) -> None:
    run = train(CELL, tmp_path, epochs=1)
    assert list(run.board.glob("events*"))
