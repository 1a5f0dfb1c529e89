from __future__ import annotations

import math
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.cli.main import main
from app.config.cells import Cell
from app.config.checkpoints import read_checkpoint
from app.engine.program.io import read_program
from app.runs.experiment import Experiment
from app.runs.loading import load_run
from app.runs.result import Result
from app.runs.run_folder import Run
from models.layers.norm import learned_state
from models.quantization.control import calibrate, quantizers

CELL = "synthetic/gcn/dq_int8"
Train = Callable[..., Run]


def test_a_finished_run_has_all_its_files(dq_run: Run) -> None:
    for path in (dq_run.config, dq_run.last_checkpoint, dq_run.best_checkpoint, dq_run.program, dq_run.board):
        assert path.exists()


def test_a_result_says_which_run_it_is_of_and_which_epoch_was_chosen(dq_run: Run) -> None:
    result = dq_run.read_result()
    assert (result["cell"], result["seed"], result["epochs"]) == (CELL, 3, 12)
    assert 1 <= result["chosen_epoch"] <= 12


CHECKPOINT = "class_path: pytorch_lightning.callbacks.ModelCheckpoint"
OF_THE_USER = f"[{{{CHECKPOINT}, init_args: {{monitor: val/accuracy, mode: min, filename: worst}}}}, {{{CHECKPOINT}}}]"


def test_checkpoints_of_the_user_s_choose_nothing(dq_run: Run, train: Train, tmp_path: Path) -> None:
    run = train(CELL, tmp_path, f"--trainer.callbacks+={OF_THE_USER}", seed=3)
    names = sorted(path.stem for path in run.board.glob("**/*.ckpt"))
    assert names[0].startswith("epoch=11")
    assert names[1:] == ["worst"]
    assert sorted(path.stem for path in run.best_checkpoint.parent.iterdir()) == ["best", "last"]
    one, other = (read_checkpoint(each.best_checkpoint)["state_dict"] for each in (dq_run, run))
    assert all(one[name].equal(other[name]) for name in one.keys() | other.keys())
    assert run.read_result()["metrics"] == dq_run.read_result()["metrics"]
    assert {path.name: path.read_bytes() for path in run.program.iterdir()} == {
        path.name: path.read_bytes() for path in dq_run.program.iterdir()
    }


def test_two_callbacks_with_one_state_are_one_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    words = f"--trainer.callbacks+=[{{{CHECKPOINT}}}, {{{CHECKPOINT}}}]"
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, words)
    assert told == "trainer.callbacks: two ModelCheckpoint with the same settings; give one other settings"


def test_a_result_has_all_keys_that_results_may_have(dq_run: Run) -> None:
    # in older results, in summaries, while reports are made
    others = {"epoch", "other_settings", "folder", "settings", "settings_hash"}
    assert dq_run.read_result().keys() == (Result.__required_keys__ | Result.__optional_keys__) - others


def test_a_result_says_the_bits_of_its_sites(dq_run: Run) -> None:
    assert dq_run.read_result()["bit_widths"] == {"weights": 8, "activations": 8, "exceptions": {}}


def test_a_result_says_what_it_was_made_with(dq_run: Run) -> None:
    result = dq_run.read_result()
    assert result["versions"]["torch"] == torch.__version__
    assert result["versions"]["pytorch-lightning"] == pl.__version__
    assert result["versions"]["python"] == platform.python_version()
    assert result["revision"] is None or len(result["revision"].removesuffix("-dirty")) == 40


def test_a_result_says_how_long_it_took(dq_run: Run) -> None:
    durations = dq_run.read_result()["durations"]
    assert durations["fit"] > 0
    assert durations["evaluate"] > 0
    assert durations["resumed"] is False


def test_a_result_says_how_exact_the_program_is(dq_run: Run) -> None:
    exact = dq_run.read_result()["exactness"]
    assert exact is not None
    assert exact["codes"] > 300 * 16
    assert exact["predictions"] == 300
    assert exact["codes_differing"] <= exact["codes"] / 10_000
    assert exact["largest_difference"] <= 1
    assert exact["margin_violations"] == 0


@pytest.mark.parametrize(("stage", "nodes"), [("val", 60), ("test", 80)])
def test_accuracies_are_fractions_of_whole_nodes(dq_run: Run, stage: str, nodes: int) -> None:
    hits = dq_run.read_result()["metrics"][f"{stage}/accuracy"] * nodes
    assert 0 <= hits <= nodes
    assert math.isclose(hits, round(hits), abs_tol=1e-4)


def test_fp32_has_no_exactness_and_no_program(fp32_run: Run) -> None:
    assert fp32_run.read_result()["exactness"] is None
    assert not fp32_run.program.exists()


def test_the_best_checkpoint_is_of_the_first_epoch_with_the_best_validation(dq_run: Run) -> None:
    log = EventAccumulator(str(dq_run.board)).Reload()
    accuracies = [event.value for event in log.Scalars("val/accuracy")][:12]
    epoch = accuracies.index(max(accuracies))
    assert read_checkpoint(dq_run.best_checkpoint)["epoch"] + 1 == dq_run.read_result()["chosen_epoch"] == epoch + 1
    assert dq_run.read_result()["metrics"]["val/accuracy"] == pytest.approx(max(accuracies))


def learned(run: Run) -> dict[str, torch.Tensor]:
    return learned_state(load_run(run).model)


@pytest.fixture(scope="module")
def log(dq_run: Run) -> EventAccumulator:
    """The TensorBoard log of a run of 12 epochs."""
    return EventAccumulator(str(dq_run.board)).Reload()


def test_tensorboard_has_the_curves(log: EventAccumulator) -> None:
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= set(log.Tags()["scalars"])
    losses = [event.value for event in log.Scalars("train/loss")]
    assert len(losses) == 12
    assert losses[-1] < losses[0]


def test_tensorboard_has_the_learning_rate(log: EventAccumulator) -> None:
    rates = [event.value for event in log.Scalars("lr-Adam/weights")]
    assert len(rates) >= 12
    assert rates == pytest.approx([0.01] * len(rates))


def test_tensorboard_has_the_ranges_of_sites_and_the_weights(log: EventAccumulator) -> None:
    tags = set(log.Tags()["scalars"])
    for kind in ("scale", "zero_point", "clipped"):
        assert any(tag.startswith(f"{kind}/convs.") for tag in tags), kind
    assert all(event.value > 0 for tag in tags if tag.startswith("scale/") for event in log.Scalars(tag))
    assert any(tag.startswith("weights/") for tag in log.Tags()["histograms"])


@pytest.fixture(scope="module")
def calibrated(train: Train, fp32_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was calibrated, with the weights of the FP32 run."""
    root = tmp_path_factory.mktemp("calibrated")
    return train("synthetic/gcn/ptq_int8", root, f"--init-from={fp32_run.directory}", epochs=0)


def test_calibration_keeps_the_weights(calibrated: Run, fp32_run: Run) -> None:
    expected, found = (learned_state(load_run(run).model) for run in (fp32_run, calibrated))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_a_run_is_loaded_by_its_folder(fp32_run: Run) -> None:
    found, expected = learned_state(load_run(str(fp32_run.directory)).model), learned(fp32_run)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_calibrated_run_is_exact_and_about_as_accurate(calibrated: Run, fp32_run: Run) -> None:
    result = calibrated.read_result()
    assert result["exactness"] is not None
    assert result["exactness"]["codes_differing"] == 0
    fp32 = fp32_run.read_result()["metrics"]["test/accuracy"]
    assert result["metrics"]["test/accuracy"] == pytest.approx(fp32, abs=0.03)


def test_calibrating_again_gives_the_same_ranges(calibrated: Run) -> None:
    built = load_run(calibrated)
    built.datamodule.prepare_data()
    built.datamodule.setup("fit")
    (batch,) = built.datamodule.train_dataloader()
    before = [site.grid() for site in quantizers(built.model)]
    calibrate(built.model, lambda: built.model(batch))
    assert [site.grid() for site in quantizers(built.model)] == before


SETTINGS_WITHOUT_A_PROGRAM = {
    '--model.scheme.overrides=[{site: "*.inputs", bits: 32}]': "site convs.0.inputs is in FP32",
    '--model.scheme={name: dq, bits: 32, overrides: [{site: "*.weights", bits: 8}]}': "is in FP32",
    "--export=false": "export is false",
    "--trainer.callbacks=[callbacks.RangeTracker]": "trainer.callbacks has no callbacks.ExportInt8",
}


@pytest.mark.parametrize("words", SETTINGS_WITHOUT_A_PROGRAM)
def test_a_run_without_a_program_ends_with_its_metrics_and_the_reason(
    train: Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    words: str,
) -> None:
    run = train(CELL, tmp_path, words, epochs=1)
    result = run.read_result()
    assert result["exactness"] is None
    reason = result["no_program"]
    assert reason is not None
    assert SETTINGS_WITHOUT_A_PROGRAM[words] in reason
    printed = capsys.readouterr()
    assert f"no integer program: {reason}" in printed.out
    assert (printed.out + printed.err + caplog.text).count("no integer program") == 1
    assert "test/accuracy" in result["metrics"]
    assert not run.program.exists()


def test_calibration_ends_without_a_program_where_a_site_is_in_fp32(
    train: Train, fp32_run: Run, tmp_path: Path
) -> None:
    inputs = '--model.scheme.overrides=[{site: "*.inputs", bits: 32}]'
    run = train("synthetic/gcn/ptq_int8", tmp_path, f"--init-from={fp32_run.directory}", inputs, epochs=0)
    assert "convs.0.inputs is in FP32" in str(run.read_result()["no_program"])


def test_a_run_with_a_program_and_one_in_fp32_give_no_reason(dq_run: Run, fp32_run: Run) -> None:
    assert dq_run.read_result()["no_program"] is None
    assert fp32_run.read_result()["no_program"] is None


def test_a_run_has_one_log_with_its_metrics_once_and_the_loggers_beside_it(train: Train, tmp_path: Path) -> None:
    loggers = ("--trainer.logger+=CSVLogger", "--trainer.logger.name=one", "--trainer.logger+=CSVLogger")
    run = train("synthetic/gcn/dq_int8", tmp_path, *loggers, epochs=3)
    (events,) = run.directory.rglob("events.*")
    board = EventAccumulator(str(events)).Reload()
    assert [event.step for event in board.Scalars("val/accuracy")] == [0, 1, 2]
    final = {name: board.Scalars(f"final/{name}")[-1].value for name in run.read_result()["metrics"]}
    assert final == pytest.approx(run.read_result()["metrics"])
    assert "test/accuracy" not in board.Tags()["scalars"]
    assert "_hparams_/session_start_info" in board.summary_metadata
    tables = list(run.directory.rglob("metrics.csv"))
    assert len(tables) == 2
    for table in tables:
        columns = table.read_text().splitlines()[0].split(",")
        assert {"train/loss", "scale/convs.0.inputs", "final/test/accuracy"} <= set(columns)


def test_a_run_without_a_log_is_a_run(train: Train, tmp_path: Path) -> None:
    run = train("synthetic/gcn/dq_int8", tmp_path, "--trainer.logger", "false", epochs=2)
    assert run.read_result()["epochs"] == 2
    assert not list(run.directory.rglob("events.*"))


@pytest.mark.parametrize("words", [("--model.optimizer", "AdamW"), ("--trainer.logger", "false")])
def test_the_stop_of_small_rates_knows_the_rate_of_any_optimizer_and_of_no_log(words, tmp_path: Path) -> None:
    cell = Experiment.of_cell(Cell("digits", "gin", "fp32"), 0, overrides=words).quiet()
    built = cell.build(tmp_path)
    built.trainer.fit_loop.max_epochs = 2
    built.trainer.fit(built.model, built.datamodule)
    (stop,) = (c for c in built.trainer.callbacks if isinstance(c, EarlyStopping))
    assert stop.state_dict()["best_score"] == built.model.lr


def test_metrics_by_name_are_measured_chosen_by_and_shown(
    train: Callable[..., Run], tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model.metrics", "[f1, accuracy]", "--model.monitor", "val/auroc")
    run = train("synthetic/gcn/fp32", tmp_path, *words, epochs=3)
    result = run.read_result()
    assert set(result["metrics"]) == {
        f"{s}/{name}" for s in ("val", "test") for name in ("loss", "f1", "accuracy", "auroc")
    }
    assert result["metric"] == "f1"
    capsys.readouterr()
    assert main(["report", "--runs-root", str(tmp_path), "--format", "markdown"]) == 0
    assert f"| F1 % | {100 * result['metrics']['test/f1']:.1f} (1) |" in capsys.readouterr().out
    told = refused("fit", "--cell", "synthetic/gcn/fp32", "--runs-root", tmp_path / "x", "--model.metrics", "[f2]")
    assert told == "model.metrics: expected some of accuracy, f1, auroc, average_precision, got 'f2'"


def test_a_program_says_what_a_service_needs_to_know(dq_run: Run, tmp_path: Path) -> None:
    card, result = read_program(dq_run.program).manifest, dq_run.read_result()
    assert card["data"] == {
        "name": "synthetic", "task": "node_classification", "classes": 7,
        "features": "each row of x divided by its sum; empty rows stay empty",
    }  # fmt: skip
    assert (card["metrics"], card["versions"]) == (result["metrics"], result["versions"])
    words = ["--run", str(dq_run.directory), "--output", str(tmp_path / "again"), "--licence", "MIT"]
    assert main(["export", *words]) == 0
    assert read_program(tmp_path / "again").manifest == {**card, "licence": "MIT"}


@pytest.mark.parametrize("name", ["best_checkpoint", "last_checkpoint"])
def test_a_run_of_an_older_version_of_its_network_is_not_continued(
    dq_run: Run, refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    run = Run(tmp_path / CELL / "seed=3")
    shutil.copytree(dq_run.directory, run.directory)
    run.result.unlink()
    path = getattr(run, name)
    content = read_checkpoint(path)
    content["state_dict"]["network.convs.0.former.range"] = torch.zeros(2)
    torch.save(content, path)
    told = refused("fit", "--cell", CELL, "--seed", 3, "--runs-root", tmp_path, *small())
    assert "is of another model than the settings describe, or of an older version of it" in told
    assert '"network.convs.0.former.range' in told
    assert "--overwrite" in told


@pytest.mark.parametrize("scheme", ["fp32", "dq_int8", "lsq_int8"])
def test_a_run_that_diverges_says_so(
    refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path, scheme: str
) -> None:
    words = ("--cell", f"synthetic/gcn/{scheme}", "--runs-root", tmp_path, "--model.lr=1e30")
    assert refused("fit", *words, *small(3)).startswith("diverged: ")


def test_steps_that_end_before_a_validation_are_named(
    refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = ("fit", "--cell", "synthetic/gcn/fp32", "--runs-root", tmp_path, *small(4), "--trainer.max_steps=1")
    for _ in range(2):
        told = refused(*words, "--trainer.check_val_every_n_epoch=2")
        assert told.startswith("trainer.max_steps 1: ends before the first validation")
