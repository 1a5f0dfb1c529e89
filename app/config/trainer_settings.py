"""Refuses settings with which a run cannot end, or that it does not read, before it begins."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pytorch_lightning.utilities import rank_zero_warn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler

from app.config.layers import Place, find
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from callbacks.mask_schedule import MaskSchedule
from datamodules import FullBatchDataModule, GraphDataModule
from models.quantization.control import protections

INSTEAD = "for a quick trial give trainer.max_epochs 1 and trainer.limit_train_batches"

TRAINER_OF_TRAINING = (
    "accumulate_grad_batches", "check_val_every_n_epoch", "detect_anomaly", "gradient_clip_algorithm",
    "gradient_clip_val", "limit_train_batches", "log_every_n_steps", "max_steps", "max_time", "min_epochs", "min_steps",
    "num_sanity_val_steps", "overfit_batches", "reload_dataloaders_every_n_epochs", "sync_batchnorm",
    "val_check_interval",
)  # fmt: skip
"""Settings of the trainer that only training reads, beside `max_epochs`."""

OF_TRAINING: tuple[Place, ...] = (
    *(("model", name) for name in ("lr", "weight_decay", "optimizer", "lr_scheduler", "distillation", "monitor")),
    *(("model", "architecture", name) for name in ("dropout", "attention_dropout")),
    *(("model", "scheme", name) for name in ("gradient", "noise", "protection")),
    *(("trainer", name) for name in TRAINER_OF_TRAINING),
)
"""Settings that only training reads. Configs may have them for all schemes of a data set; a word asks for them."""

WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "enable_model_summary": (True, "callbacks.ModelSize shows the layers, in every run"),
    "model_registry": (None, "checkpoints stay in the run's folder"),
    "use_distributed_sampler": (False, "data sets share their graphs among processes themselves"),
}
"""Setting of the trainer -> the only value that it may not have (None: any), as nothing reads it here; and why."""

OF_SEVERAL_BATCHES = {"accumulate_grad_batches": 1, "overfit_batches": 0, "reload_dataloaders_every_n_epochs": 0}
"""Setting of the trainer -> its value that asks for nothing, where an epoch is one batch so that nothing else does."""

LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "num_sanity_val_steps": -1,
}
"""Setting of the trainer -> its least value, where Lightning takes any."""


def check_trainer(built: CellCLI) -> None:
    """Checks the settings of the trainer, and those that only training reads where nothing is trained.

    Raises:
        UserError: naming the setting that cannot work, or has no effect.
    """
    for setting, reason in problems(built):
        raise UserError(f"trainer.{setting}: {reason}")
    if built.trainer.max_epochs == 0:
        for place in OF_TRAINING:
            if any(find(layer.settings, place) is not None for layer in built.words):
                raise UserError(
                    f"{'.'.join(place)}: has no effect with trainer.max_epochs 0, which trains nothing and only "
                    "calibrates ranges; leave it out"
                )
    if any(find(layer.settings, ("trainer", "log_every_n_steps")) is not None for layer in built.words):
        rank_zero_warn(
            "trainer.log_every_n_steps: metrics are logged an epoch; it counts for callbacks only that log steps, "
            "such as DeviceStatsMonitor"
        )


def check_use(built: CellCLI) -> None:
    """Checks the settings of the trainer with which a trained run is used.

    Raises:
        UserError: naming the setting that cannot work.
    """
    for setting, reason in unusable(built):
        raise UserError(f"trainer.{setting}: {reason}")


def check_optimizer(built: CellCLI) -> None:
    """Makes the optimizer and its scheduler as training does, and takes a first step of the scheduler, to see it work.

    Raises:
        ValueError: naming the setting that cannot work.
    """
    if not any(parameter.requires_grad for parameter in built.model.network.parameters()):
        raise UserError("model: no parameter of the network is trained, each has requires_grad false: leave some true")
    try:
        made = built.model.configure_optimizers()
        for scheduler in made[1] if isinstance(made, tuple) else ():
            if isinstance(scheduler, LRScheduler):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that the optimizer has not taken a step
                    scheduler.step()
    except ZeroDivisionError as problem:
        chosen = built.config["model.init_args"].get("lr_scheduler")
        name = chosen.class_path.rpartition(".")[2] if chosen else "optimizer"
        zeros = [key for key, value in chosen.init_args.items() if type(value) is int and value == 0] if chosen else []
        raise UserError(f"model.lr_scheduler: {name} divides by {' or '.join(zeros)}, 0: give 1 or more") from problem


def problems(built: CellCLI) -> Iterator[tuple[str, str]]:
    """Yields settings that cannot work, and why."""
    trainer = built.trainer
    settings: Mapping[str, Any] = built.config["trainer"]
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        yield "fast_dev_run", f"leaves no checkpoint to evaluate and to export; {INSTEAD}"
    yield from unusable(built)
    yield from below_least(settings)
    if trainer.limit_test_batches == 0:
        yield "limit_test_batches", f"0 leaves nothing to test on; {INSTEAD}"
    if trainer.limit_val_batches == 0:
        yield "limit_val_batches", f"0 leaves nothing to choose the epoch by; {INSTEAD}"
    if settings["limit_predict_batches"] is not None:
        yield "limit_predict_batches", "has no effect: nothing is predicted here; leave it out"
    for setting, (value, why) in WITHOUT_EFFECT.items():
        given = settings.get(setting)  # older Lightnings have fewer settings
        if given is not None and value in (None, given):
            yield setting, f"has no effect: {why}; leave it out"
    yield from of_other_machines(built)
    if (settings["gradient_clip_val"] or 1) < 0:
        yield (
            "gradient_clip_val",
            f"{settings['gradient_clip_val']} clips nothing; give a number above 0, or leave it out",
        )
    whole = is_one_batch(built.datamodule)
    for setting, nothing in OF_SEVERAL_BATCHES.items():
        if whole and (given := settings[setting]) is not None and given != nothing:
            yield setting, "has no effect: an epoch is one batch, the whole graph; leave it out"
    if trainer.overfit_batches:  # type: ignore[attr-defined]
        yield "overfit_batches", f"takes batches of training for validation; {INSTEAD}"
    if settings["gradient_clip_algorithm"] is not None and settings["gradient_clip_val"] is None:
        yield "gradient_clip_algorithm", "has no effect without trainer.gradient_clip_val; give both"
    if any(isinstance(callback, MaskSchedule) for callback in trainer.callbacks) and not any(protections(built.model)):  # type: ignore[attr-defined]
        yield "callbacks", "MaskSchedule has no effect: the scheme protects no nodes; leave it out, or take a dq scheme"
    epochs, every = trainer.max_epochs, trainer.check_val_every_n_epoch
    if epochs == 0:
        return
    if trainer.limit_train_batches == 0:
        yield "limit_train_batches", "0 leaves nothing to train on"
    if trainer.max_steps == 0:
        yield "max_steps", "0 leaves nothing to train; calibration is trainer.max_epochs 0"
    if is_no_time(settings["max_time"]):
        yield "max_time", "leaves no time to train"
    if epochs is not None and every is not None and 0 < epochs < every:
        yield "check_val_every_n_epoch", f"{every} is past the last of {epochs} epochs, so that no epoch can be chosen"
    yield from beyond_the_end(built)


def below_least(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields numbers that are too small, and what they have to be."""
    for setting, least in LEAST.items():
        given = settings[setting]
        if given is not None and given < least:
            yield setting, f"expected {least} or more, got {given}"
    if settings["val_check_interval"] == 0:
        yield "val_check_interval", "expected more than 0, got 0"


def of_other_machines(built: CellCLI) -> Iterator[tuple[str, str]]:
    """Yields settings for devices, or for layers, that are not there."""
    trainer, settings = built.trainer, built.config["trainer"]
    if settings["benchmark"] and trainer.strategy.root_device.type != "cuda":
        yield "benchmark", "has no effect: it lets cuDNN choose, which is on NVIDIA's GPUs only; leave it out"
    if settings["sync_batchnorm"] and trainer.world_size == 1:
        yield "sync_batchnorm", "has no effect: one device has all nodes of a batch; leave it out"
    if settings["sync_batchnorm"] and not any(isinstance(module, _BatchNorm) for module in built.model.modules()):
        yield "sync_batchnorm", "has no effect: this network has no BatchNorm; leave it out"


def beyond_the_end(built: CellCLI) -> Iterator[tuple[str, str]]:
    """Yields numbers of epochs, steps and batches that training does not come to; reads the data where it has to."""
    trainer, settings = built.trainer, built.config["trainer"]
    epochs, most, accumulated = trainer.max_epochs or -1, trainer.max_steps, trainer.accumulate_grad_batches
    least_epochs, least, interval = (settings[name] or 0 for name in ("min_epochs", "min_steps", "val_check_interval"))
    if 0 < epochs < least_epochs:
        yield "min_epochs", f"{least_epochs} are more than the {epochs} of trainer.max_epochs"
    if 0 < most < least:
        yield "min_steps", f"{least} are more than the {most} of trainer.max_steps"
    counts = isinstance(interval, int) and interval > 1
    if trainer.world_size > 1 or not (least or counts or (least_epochs and most > 0)):  # several share the batches
        return
    batches = batches_of_an_epoch(built)
    steps = -(-batches // accumulated)
    if 0 < epochs * steps < least:
        yield "min_steps", f"{least} are more than the {epochs * steps} that trainer.max_epochs {epochs} has"
    if 0 < most < least_epochs * steps:
        yield (
            "min_epochs",
            f"{least_epochs} have {least_epochs * steps} steps, trainer.max_steps is {most}",
        )
    within = batches if settings["check_val_every_n_epoch"] else batches * epochs
    if counts and 0 < within < interval:
        yield "val_check_interval", f"{interval} is past the last batch, {within}, so that no epoch can be chosen"


def unusable(built: CellCLI) -> Iterator[tuple[str, str]]:
    """Yields settings with which a network can neither be trained nor used, and why."""
    trainer, settings = built.trainer, built.config["trainer"]
    if trainer.strategy.root_device.type == "mps":
        yield "accelerator", f"{settings['accelerator']}: Apple's GPU has neither sparse matrices nor float64; use cpu"
    if trainer.precision in {"16-true", "bf16-true"}:
        yield "precision", f"{trainer.precision}: ranges of sites and sums need float32; use bf16-mixed or 32-true"
    if any(word in str(settings["strategy"]) for word in ("spawn", "fork", "notebook")):
        yield "strategy", f"{settings['strategy']}: the first process has no trained model afterwards; use ddp"
    yield from shares_of_nothing(built)


def shares_of_nothing(built: CellCLI) -> Iterator[tuple[str, str]]:
    """Yields limits that are a share of the batches of a part, and less than one of them; reads the data for it.

    Lightning refuses them too, but only where it comes to the part: of the test batches, after training.
    """
    trainer, data = built.trainer, built.datamodule
    shares: dict[str, float] = {
        part: share
        for part in ("train", "val", "test")
        if isinstance(share := getattr(trainer, f"limit_{part}_batches"), float) and 0 < share < 1
    }
    for part, share in shares.items():
        batches = batches_in(data, part)
        if share * batches < 1:
            yield (
                f"limit_{part}_batches",
                f"{share} of {batches} is less than one batch; give a whole number of batches",
            )


def is_one_batch(data: GraphDataModule) -> bool:
    """Whether each epoch is a step on a whole graph."""
    return isinstance(data, FullBatchDataModule) and data.num_parts is None and data.neighbours is None


def batches_of_an_epoch(built: CellCLI) -> int:
    """Returns how many batches an epoch of training has on one device."""
    limit, batches = built.trainer.limit_train_batches, batches_in(built.datamodule, "train")
    return min(limit, batches) if isinstance(limit, int) else int(limit * batches)


def batches_in(data: GraphDataModule, part: str) -> int:
    """Returns how many batches a part of the data has; reads it."""
    data.prepare_data()
    data.setup("fit")
    return len(getattr(data, f"{part}_dataloader")())


def is_no_time(value: Any) -> bool:
    """Whether a limit of time is zero or less: a text such as `00:00:00:00` (days to seconds), or numbers by unit."""
    if value is None:
        return False
    if isinstance(value, Mapping):
        return timedelta(**value) <= timedelta()
    return not any(float(number) for number in str(value).split(":"))
