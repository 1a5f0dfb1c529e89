from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.config.trainer_settings import is_no_time
from app.runs.run_folder import Run

Refused = Callable[..., str]

STEPS_OF_0 = "{class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 0}}"
COSINE_OF_0 = "{class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 0}}"

CANNOT_WORK = {
    "--trainer.limit_val_batches=0": "trainer.limit_val_batches: 0 leaves nothing",
    "--trainer.limit_test_batches=0": "trainer.limit_test_batches: 0 leaves nothing",
    "--trainer.limit_train_batches=0": "trainer.limit_train_batches: 0 leaves nothing",
    "--trainer.fast_dev_run=true": "trainer.fast_dev_run: leaves no checkpoint",
    "--trainer.check_val_every_n_epoch=3": "trainer.check_val_every_n_epoch: 3 is past the last of 2 epochs",
    "--trainer.precision=bf16-true": "trainer.precision: bf16-true: ranges of sites and sums need float32",
    "--trainer.precision=16-true": "trainer.precision: 16-true: ranges of sites and sums need float32",
    "--trainer.max_time=00:00:00:00": "trainer.max_time: leaves no time",
    "--trainer.min_epochs=3": "trainer.min_epochs: 3 are more than the 2 of trainer.max_epochs",
    "--trainer.max_steps=0": "trainer.max_steps: 0 leaves nothing to train",
    "--trainer.limit_predict_batches=1": "trainer.limit_predict_batches: has no effect: nothing is predicted here",
    "--trainer.limit_predict_batches=1.0": "trainer.limit_predict_batches: has no effect: nothing is predicted here",
    "--trainer.limit_test_batches=0.5": "trainer.limit_test_batches: 0.5 of 1 is less than one batch",
    "--trainer.limit_train_batches=0.5": "trainer.limit_train_batches: 0.5 of 1 is less than one batch",
    "--trainer.enable_checkpointing=false": "trainer.enable_checkpointing: leaves no checkpoint",
    "--trainer.barebones=true": "trainer.barebones: leaves no checkpoint",
    "--trainer.enable_model_summary=true": "trainer.enable_model_summary: has no effect: callbacks.ModelSize",
    "--trainer.model_registry=name": "trainer.model_registry: has no effect: checkpoints stay",
    "--trainer.use_distributed_sampler=false": "trainer.use_distributed_sampler: has no effect: data sets share",
    "--trainer.gradient_clip_val=-1": "trainer.gradient_clip_val: -1 clips nothing",
    "--trainer.accumulate_grad_batches=2": "trainer.accumulate_grad_batches: has no effect: an epoch is one batch",
    "--trainer.overfit_batches=1": "trainer.overfit_batches: has no effect: an epoch is one batch",
    "--trainer.reload_dataloaders_every_n_epochs=1": "trainer.reload_dataloaders_every_n_epochs: has no effect: an",
    "--trainer.gradient_clip_algorithm=value": "trainer.gradient_clip_algorithm: has no effect without",
    f"--model.lr_scheduler={STEPS_OF_0}": "model.lr_scheduler: StepLR divides by step_size, 0",
    f"--model.lr_scheduler={COSINE_OF_0}": "model.lr_scheduler: CosineAnnealingLR divides by T_max, 0",
    "--trainer.strategy=ddp_spawn": "trainer.strategy: ddp_spawn",
    "--trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches: expected 1 or more, got 0",
    "--trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch: expected 1 or more, got 0",
    "--trainer.val_check_interval=0": "trainer.val_check_interval: expected more than 0",
    "--trainer.val_check_interval=7": "trainer.val_check_interval: 7 is past the last batch, 1",
    "--trainer.val_check_interval=1.5": "trainer.val_check_interval: You have passed invalid value 1.5",
    "--trainer.min_steps=-1": "trainer.min_steps: expected 0 or more, got -1",
    "--trainer.min_steps=3": "trainer.min_steps: 3 are more than the 2 that trainer.max_epochs 2 has",
    "--trainer.max_time=soon": "trainer.max_time: `Timer(duration='soon')` is not a valid duration",
    "--trainer.max_time={foo: 3}": "trainer.max_time: expected numbers of days, hours, minutes, sec",
    "--trainer.max_time={hours: 10000000000000}": "trainer.max_time: expected numbers of days, hours, minutes, seco",
    "--trainer.max_time={hours: -1}": "trainer.max_time: leaves no time to train",
    "--trainer.devices=0": "trainer.devices: `Trainer(devices='0')` value is not a valid input",
    "--trainer.profiler=quick": "trainer.profiler: When passing string value for the `profiler` parameter",
    "--trainer.benchmark=true": "trainer.benchmark: has no effect",
    "--trainer.sync_batchnorm=true": "trainer.sync_batchnorm: has no effect: one device",
    "--optimizer=torch.optim.AdamW": "optimizer: give model.optimizer instead",
    "--lr_scheduler=torch.optim.lr_scheduler.ExponentialLR": "lr_scheduler: give model.lr_scheduler instead",
    "--model.optimizer={class_path: torch.optim.AdamW, init_args: {lr: 0.1}}": "model.optimizer.lr: set model.lr",
    "--model.lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau": "model.lr_scheduler: torch's ReduceLROnPlateau",
}


@pytest.mark.parametrize("word", CANNOT_WORK)
def test_a_setting_that_cannot_work_is_refused_by_name_before_training(
    refused: Refused, small: Callable[..., list[str]], tmp_path: Path, word: str
) -> None:
    command = ["fit", "--runs-root", tmp_path / "runs", "--cell", "synthetic/gcn/dq_int8"]
    assert refused(*command, *small(2), "--trainer.accelerator=cpu", word).startswith(CANNOT_WORK[word])
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--trainer.min_steps=5", "--trainer.max_steps=1"), "trainer.min_steps: 5 are more than the 1 of trainer.max"),
        (
            ("--trainer.min_epochs=2", "--trainer.max_steps=1"),
            "trainer.min_epochs: 2 have 2 steps, trainer.max_st",
        ),
        (
            ("--trainer.val_check_interval=3", "--trainer.check_val_every_n_epoch=null"),
            "trainer.val_check_interval: 3 is past the last batch, 2",
        ),
    ],
)
def test_numbers_that_two_settings_make_unreachable_are_refused(
    refused: Refused, small: Callable[..., list[str]], tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    command = ["fit", "--runs-root", tmp_path / "runs", "--cell", "synthetic/gcn/dq_int8"]
    assert refused(*command, *small(2), "--trainer.accelerator=cpu", *words).startswith(told)


def test_batch_norms_of_several_devices_are_refused_where_there_are_none(refused: Refused, tmp_path: Path) -> None:
    words = ("fit", "--cell", "digits/gcn/dq_int8", "--runs-root", tmp_path, "--model.architecture.batch_norm=null")
    devices = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.sync_batchnorm=true")
    assert refused(*words, *devices).startswith("trainer.sync_batchnorm: has no effect: this network has no BatchNorm")


def test_an_interval_of_logs_by_step_is_said_to_change_none_of_ours(train: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.warns(match=r"trainer\.log_every_n_steps: metrics are logged an epoch"):
        train("synthetic/gcn/fp32", tmp_path, "--trainer.log_every_n_steps=5", epochs=1)


@pytest.fixture(params=["reproduce", "tune"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[object]:
    """A command that trains several times."""
    if request.param == "reproduce":
        (tmp_path / "grid.yaml").write_text("entries: [{cells: synthetic/gcn/dq_int8}]")
        return ["reproduce", tmp_path / "grid.yaml", "--runs-root", tmp_path / "runs"]
    pytest.importorskip("optuna")
    words = ["tune", "--trials", "1", "--storage", tmp_path / "journal", "--output", tmp_path / "best.yaml"]
    return [*words, "--cell", "synthetic/gcn/dq_int8"]


@pytest.mark.parametrize("word", ["--trainer.limit_val_batches=0", f"--model.lr_scheduler={STEPS_OF_0}"])
def test_commands_that_make_several_runs_refuse_the_same(
    refused: Refused, small: Callable[..., list[str]], tmp_path: Path, command: list[object], word: str
) -> None:
    told = refused(*command, *small(2), "--trainer.accelerator=cpu", word)
    assert told.startswith(CANNOT_WORK[word])
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"grid.yaml", ".lock"}


def test_batches_of_training_are_not_taken_for_validation(refused: Refused, tmp_path: Path) -> None:
    words = ("fit", "--cell", "digits/gin/dq_int8", "--runs-root", tmp_path, "--trainer.overfit_batches=2")
    assert refused(*words).startswith("trainer.overfit_batches: takes batches of training for validation")


@pytest.mark.parametrize(
    ("setting", "value"),
    {
        "model.lr": "0.1",
        "model.weight_decay": "0",
        "model.optimizer": "torch.optim.AdamW",
        "model.lr_scheduler": "{class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1}}",
        "model.distillation": "{weight: 0.5}",
        "model.monitor": "val/loss",
        "model.architecture.dropout": "0.1",
        "model.scheme.gradient": "ste",
        "model.scheme.noise": "{fraction: 0.5}",
        "model.scheme.protection": "{p_max: 0.2}",
        "trainer.gradient_clip_val": "1",
        "trainer.max_steps": "3",
        "trainer.limit_train_batches": "1",
        "trainer.max_time": "00:00:01:00",
    }.items(),
)
def test_what_only_training_reads_is_refused_where_ranges_are_calibrated(
    refused: Refused, small: Callable[..., list[str]], tmp_path: Path, setting: str, value: str
) -> None:
    calibration = ["fit", "--cell", "synthetic/gcn/ptq_int8", "--runs-root", tmp_path / "runs"]
    told = refused(*calibration, *small(0), f"--{setting}={value}")
    assert told.startswith(f"{setting}: has no effect with trainer.max_epochs 0")


MASK_SCHEDULE = "{class_path: callbacks.MaskSchedule, init_args: {p_min: 0, p_max: 0, start_epoch: 0, end_epoch: 1}}"


@pytest.mark.parametrize(("scheme", "code"), [("qat_int8", 2), ("dq_int8", 0)])
def test_a_schedule_of_masks_is_refused_where_none_are_drawn(
    small: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str, code: int
) -> None:
    words = ["fit", "--cell", f"synthetic/gcn/{scheme}", "--runs-root", str(tmp_path), *small(1)]
    assert main([*words, f"--trainer.callbacks+={MASK_SCHEDULE}"]) == code
    told = capsys.readouterr().err
    assert ("error: trainer.callbacks: MaskSchedule has no effect: the scheme protects no nodes" in told) == bool(code)


def test_a_profiler_writes_into_the_folder_of_the_run(train: Callable[..., Run], tmp_path: Path) -> None:
    run = train("synthetic/gcn/fp32", tmp_path, "--trainer.profiler=simple", epochs=1)
    assert "run_training_epoch" in (run.directory / "fit-profile.txt").read_text()
    quiet = train("synthetic/gcn/fp32", tmp_path, epochs=1, seed=1)
    assert not list(quiet.directory.glob("*profile*"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        ("00:00:00:00", True),
        ("00:00:00:05", False),
        ({"days": 0}, True),
        ({"days": 1}, False),
        ({"hours": 1, "minutes": -60}, True),
    ],
)
def test_a_limit_of_time_is_none_where_all_its_numbers_are_zero(value: object, *, expected: bool) -> None:
    assert is_no_time(value) is expected
