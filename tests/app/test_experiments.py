from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.cli import main
from app.export import load_run
from app.lightning_cli import AtomicCheckpointIO
from app.runs import Run, read_yaml
from models.quantization.control import quantizers

CELL = "synthetic/gcn/dq_int8"
Train = Callable[..., Run]


def weights(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)


def assert_equal_bits(one: Any, other: Any) -> None:
    """Nested containers of tensors and plain values are equal, and of one type."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_bits(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal_bits(a, b)
    else:
        assert one == other


def test_a_finished_run_has_its_files_and_says_what_it_measured(dq_run: Run) -> None:
    result = dq_run.read_result()
    assert (result["cell"], result["seed"], result["epochs"]) == (CELL, 3, 12)
    assert 0 <= result["epoch"] < 12
    assert result["versions"]["torch"] == torch.__version__
    assert result["versions"]["python"] == platform.python_version()
    assert result["revision"] is None or len(result["revision"].removesuffix("-dirty")) == 40
    assert result["durations"]["fit"] > 0
    assert result["durations"]["evaluate"] > 0
    assert result["durations"]["resumed"] is False
    exact = result["exactness"]
    assert exact["codes"] > 300 * 16
    assert exact["predictions"] == 300
    assert exact["codes_differing"] <= exact["codes"] / 10_000
    assert exact["largest_difference"] <= 1
    assert exact["margin_violations"] == 0
    for path in (dq_run.config, dq_run.last_checkpoint, dq_run.best_checkpoint, dq_run.program, dq_run.board):
        assert path.exists()


def test_metrics_are_fractions_of_whole_nodes_and_what_test_prints(
    dq_run: Run, trained_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = dq_run.read_result()["metrics"]
    for stage, nodes in (("val", 60), ("test", 80)):
        hits = metrics[f"{stage}/accuracy"] * nodes
        assert 0 <= hits <= nodes
        assert math.isclose(hits, round(hits), abs_tol=1e-4)
        command = {"val": "validate", "test": "test"}[stage]
        assert main([command, "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root)]) == 0
        row = capsys.readouterr().out.splitlines()[-2]
        assert f" {metrics[f'{stage}/accuracy']:.4f} " in row
        assert f" {metrics[f'{stage}/loss']:.4f} " in row


def test_fp32_has_no_exactness_and_no_program(fp32_run: Run) -> None:
    assert fp32_run.read_result()["exactness"] is None
    assert not fp32_run.program.exists()


def test_the_best_checkpoint_is_of_the_first_epoch_with_the_best_validation(dq_run: Run) -> None:
    log = EventAccumulator(str(dq_run.board)).Reload()
    accuracies = [event.value for event in log.Scalars("val/accuracy")][:12]
    epoch = accuracies.index(max(accuracies))
    assert weights(dq_run.best_checkpoint)["epoch"] == dq_run.read_result()["epoch"] == epoch
    assert dq_run.read_result()["metrics"]["val/accuracy"] == pytest.approx(max(accuracies))


def test_tensorboard_holds_curves_learning_rate_and_ranges(dq_run: Run) -> None:
    log = EventAccumulator(str(dq_run.board)).Reload()
    tags = set(log.Tags()["scalars"])
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= tags
    rates = [event.value for event in log.Scalars("lr-Adam")]
    assert len(rates) >= 12
    assert rates == pytest.approx([0.01] * len(rates))
    losses = [event.value for event in log.Scalars("train/loss")]
    assert len(losses) == 12
    assert losses[-1] < losses[0]
    for kind in ("scale", "zero_point", "clipped"):
        assert any(tag.startswith(f"{kind}/convs.") for tag in tags), kind
    assert all(event.value > 0 for tag in tags if tag.startswith("scale/") for event in log.Scalars(tag))
    assert any(tag.startswith("weights/") for tag in log.Tags()["histograms"])


def times(run: Run) -> dict[Path, int]:
    """When each file of a run was written, except for claims on it."""
    files = (path for path in run.directory.rglob("*") if not path.name.startswith(".claim"))
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_finished_run_is_not_repeated(train: Train, tmp_path: Path) -> None:
    run = train(CELL, tmp_path, epochs=2)
    before = times(run)
    train(CELL, tmp_path, epochs=2)
    assert times(run) == before
    state = weights(run.last_checkpoint)["state_dict"]
    train(CELL, tmp_path, "--overwrite", epochs=2)
    assert run.result.stat().st_mtime_ns > before[run.result]
    assert_equal_bits(weights(run.last_checkpoint)["state_dict"], state)


def test_other_settings_in_the_same_folder_are_refused_naming_the_setting(
    train: Train, refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = train(CELL, tmp_path, epochs=2)
    before = run.result.read_text()
    words = ["fit", "--cell", CELL, "--runs-root", tmp_path, *small(2), "--model.lr", 0.5]
    told = refused(*words)
    assert "model.init_args.lr: 0.01 -> 0.5" in told
    assert "--overwrite" in told
    assert run.result.read_text() == before
    train(CELL, tmp_path, "--model.lr=0.5", "--overwrite", epochs=2)
    assert read_yaml(run.config, "")["model"]["init_args"]["lr"] == 0.5


def test_seeds_make_different_runs_and_one_command_makes_several(
    small: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert main(["fit", "--cell", CELL, "--seed", "0-1", "--runs-root", str(tmp_path), *small(1)]) == 0
    zero, one = (weights(Run(tmp_path / CELL / f"seed={k}").last_checkpoint)["state_dict"] for k in (0, 1))
    assert not torch.equal(zero["network.convs.0.weight"], one["network.convs.0.weight"])


def test_a_damaged_checkpoint_is_one_line_naming_the_file(
    train: Train, refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = train(CELL, tmp_path, epochs=2)
    fit = ["fit", "--cell", CELL, "--runs-root", tmp_path, *small(2)]
    run.result.unlink()
    for path in (run.last_checkpoint, run.best_checkpoint):
        whole = path.read_bytes()
        for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
            path.write_bytes(damaged)
            told = refused(*fit)
            assert str(path) in told
            assert "--overwrite" in told
        path.write_bytes(whole)
    run.best_checkpoint.write_bytes(b"nonsense")
    assert str(run.best_checkpoint) in refused("test", "--cell", CELL, "--runs-root", tmp_path)
    run.config.write_text("a: [")
    assert str(run.config) in refused(*fit)
    assert str(run.config) in refused("export", "--run", run.directory)


def test_init_from_starts_from_the_given_weights(train: Train, fp32_run: Run, tmp_path: Path) -> None:
    run = train("synthetic/gcn/qat_int8", tmp_path, f"--init-from={fp32_run.directory}", "--model.lr=0", epochs=1)
    start, end = weights(fp32_run.best_checkpoint)["state_dict"], weights(run.last_checkpoint)["state_dict"]
    parameters = dict(load_run(run).model.named_parameters())
    assert len(parameters) == 4
    for name in parameters:
        assert torch.equal(start[name], end[name]), name
    site = next(q for q in quantizers(load_run(run).model) if q.name == "convs.0.weights")
    weight = start["network.convs.0.weight"]
    assert site.grid().scale == pytest.approx(float(weight.max() - weight.min()) / 255, rel=0.01)
    assert read_yaml(run.config, "")["init_from"] == str(fp32_run.directory)


def test_qat_from_fp32_trains_on(train: Train, fp32_run: Run, tmp_path: Path) -> None:
    run = train("synthetic/gcn/qat_int8", tmp_path, f"--init-from={fp32_run.best_checkpoint}", epochs=3)
    log = EventAccumulator(str(run.board)).Reload()
    reference = EventAccumulator(str(fp32_run.board)).Reload()
    assert log.Scalars("train/loss")[0].value < reference.Scalars("train/loss")[0].value
    assert run.read_result()["exactness"]["margin_violations"] == 0


def test_init_from_another_network_is_refused(refused: Callable[..., str], fp32_run: Run, tmp_path: Path) -> None:
    words = ["fit", "--cell", "synthetic/gcn/qat_int8", "--runs-root", tmp_path, "--init-from"]
    assert "its network has no network.convs.0.weight of shape" in refused(*words, fp32_run.directory)
    (tmp_path / "file").write_text("no checkpoint")
    assert f"{tmp_path / 'file'}: not a readable checkpoint" in refused(*words, tmp_path / "file")


def test_export_to_another_place_writes_the_same_program(
    dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    target = tmp_path / "new" / "place"
    assert main(["export", "--run", str(dq_run.directory), "--output", str(target)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == dq_run.read_result()["exactness"]
    for path in dq_run.program.iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()


def test_checkpoint_and_program_of_an_exact_run_predict_the_same(
    dq_run: Run, trained_root: Path, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert dq_run.read_result()["exactness"]["codes_differing"] == 0
    words = ["predict", "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root), *small()]
    tables = []
    for name, more in (("checkpoint", []), ("program", ["--program", str(dq_run.program)])):
        path = tmp_path / "new" / f"{name}.csv"
        assert main([*words, "--output", str(path), *more]) == 0
        tables.append(path.read_text())
    assert tables[0] == tables[1]
    header, *rows = (line.split(",") for line in tables[0].splitlines())
    assert header == ["node", "class", *(f"logit_{i}" for i in range(7))]
    assert [int(row[0]) for row in rows] == list(range(300))
    for row in rows:
        logits = [float(value) for value in row[2:]]
        assert logits[int(row[1])] == max(logits)


def test_benchmark_json_has_the_figures_of_peer_and_programs(
    dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "figures.json"
    assert main(["benchmark", "--run", str(dq_run.directory), "--repeats", "3", "--output", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["run"] == str(dq_run.directory)
    assert figures["processor"]
    assert figures["versions"]["torch"] == torch.__version__
    rows = {row["name"]: row for row in figures["rows"]}
    assert list(rows) == ["PyG FP32", "INT8", "INT8 sparse", "INT4", "INT4 sparse"]
    for row in rows.values():
        assert 0 < row["lower"] <= row["median"] <= row["upper"]
        assert row["ratio"] == pytest.approx(rows["PyG FP32"]["median"] / row["median"])
    assert rows["INT8"]["agreement"] == 1.0
    assert (rows["INT8"]["ranges"], rows["INT4"]["ranges"]) == ("trained", "calibrated")
    assert rows["PyG FP32"]["bytes"] == 4 * (120 * 16 + 16 + 16 * 7 + 7)
    assert rows["INT4"]["bytes"] < rows["INT8"]["bytes"] < rows["PyG FP32"]["bytes"] / 3
    assert str(path) in capsys.readouterr().out


def test_the_trainer_of_a_run_writes_checkpoints_whole_or_not_at_all(
    dq_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = load_run(dq_run).trainer.strategy.checkpoint_io
    assert isinstance(writer, AtomicCheckpointIO)
    path = tmp_path / "last.ckpt"
    writer.save_checkpoint({"state_dict": {"w": torch.ones(2)}}, path)
    assert list(tmp_path.iterdir()) == [path]

    def killed(source: str, target: str) -> None:
        assert weights(Path(source))["state_dict"]["w"][0] == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.save_checkpoint({"state_dict": {"w": 2 * torch.ones(2)}}, path)
    assert weights(path)["state_dict"]["w"][0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("cell", [CELL, "synthetic/gcn/distil_int4"])
def test_a_run_killed_twice_ends_bit_for_bit_like_one_that_was_not(
    cell: str,
    train: Train,
    small: Callable[..., list[str]],
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    epochs = 40
    whole = train(cell, tmp_path / "whole", epochs=epochs)
    run = Run(tmp_path / "killed" / cell / "seed=0")
    command = ["train.py", "fit", "--cell", cell, "--runs-root", str(tmp_path / "killed"), *small(epochs)]
    reached = []
    for saves, delay in ((4, 0.0), (9, 0.011)):
        process = start(*command)
        kill_after(process, run.last_checkpoint, saves, delay)
        assert not run.result.exists()
        reached.append(weights(run.last_checkpoint)["epoch"])
    assert 0 < reached[0] < reached[1] < epochs - 1
    process = start(*command)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert run.read_result()["durations"]["resumed"] is True
    for name in ("last_checkpoint", "best_checkpoint"):
        mine, reference = weights(getattr(run, name)), weights(getattr(whole, name))
        for key in ("epoch", "global_step", "state_dict", "optimizer_states"):
            assert_equal_bits(mine[key], reference[key])
    for key in ("metrics", "epoch", "epochs", "exactness"):
        assert run.read_result()[key] == whole.read_result()[key], key
    for path in whole.program.glob("*.safetensors"):
        assert (run.program / path.name).read_bytes() == path.read_bytes()


def kill_after(process: subprocess.Popen[str], checkpoint: Path, saves: int, delay: float) -> None:
    """SIGKILL, a moment after the checkpoint was written for the `saves`th time."""
    seen: set[int] = {stamp(checkpoint)}
    while len(seen) <= saves:
        assert process.poll() is None, process.communicate()[1]
        seen.add(stamp(checkpoint))
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


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
