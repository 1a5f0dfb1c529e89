"""LightningCLI for this application: builds a run from configs, reports errors in one line, saves atomically."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only

from app.cli.words import parse
from app.config.checkpoints import AtomicCheckpointIO
from app.config.chosen_classes import check_classes, without_replaced_classes
from app.config.layers import find, layers_of, with_replaced, words_of
from app.config.machine import OwnProcesses, choose, patience, started_by_a_cluster
from app.config.site_rules import (
    RULES,
    take_out,
    tell_kept,
    tell_replaced,
    tell_without_effect,
    tell_without_sites,
    with_fresh_lists,
)
from app.config.suggestions import check_time, explain, told_by_lightning
from app.errors import UserError
from callbacks.export_int8 import ExportInt8
from callbacks.progress import progress
from callbacks.run_checkpoint import RunCheckpoint
from callbacks.run_log import RunLog, in_folder
from callbacks.stopping import Divergence, KeepSigterm
from datamodules import GraphDataModule
from models.architectures.overrides import WHERE, site_names
from models.tasks import GraphTask
from models.tasks.named import source_of

WITHOUT_CHECKPOINTS = {"barebones": True, "enable_checkpointing": False}
"""Settings of the trainer with which Lightning refuses what every run has."""

LOGGERS = ("trainer", "logger"), ("trainer", "logger+")


def plain(settings: Any) -> Any:
    """Returns settings with words of an enumeration as plain words."""
    if isinstance(settings, Namespace):
        return Namespace({key: plain(value) for key, value in vars(settings).items()})  # type: ignore[no-untyped-call]
    if isinstance(settings, list):
        return [plain(item) for item in settings]
    return settings.value if isinstance(settings, str) and isinstance(settings, Enum) else settings


class RaisingParser(LightningArgumentParser):
    """A parser that raises UserError instead of printing pages of usage; `CellCLI` makes one line of it."""

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Returns settings as text, without checking again what was checked when it was parsed.

        Words of an enumeration, which signatures may have as defaults (`Timer`), are written as plain ones.
        """
        config, *others = args
        return str(super().dump(plain(config), *others, **{"skip_validation": True, **kwargs}))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises UserError."""
        raise UserError(message) from ex


def as_list(value: Any) -> list[Any]:
    """Returns the items of a list, of a single value, or of None as a list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def missing_package(problem: BaseException | None) -> str | None:
    """Returns what the innermost error behind a problem says of a package that a class needs, if it is such a one."""
    while problem is not None:
        if isinstance(problem, ModuleNotFoundError):
            return str(problem)
        problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    return None


def is_alone(trainer: Any) -> bool:
    """Whether the settings of a trainer name one device of one node."""
    devices = trainer.get("devices")
    one = devices in (1, "1") or (isinstance(devices, list) and len(devices) == 1)
    return one and trainer.get("num_nodes", 1) == 1


def follow_optimizer(trainer: pl.Trainer, optimizer: Any) -> None:
    """Lets callbacks that watch the learning rate of Adam, as in our configs, watch that of the optimizer in its place.

    `LearningRateMonitor` logs it under the name of the optimizer's class.
    """
    if optimizer is not None:
        kind = optimizer.class_path.rpartition(".")[2]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                callback.monitor = callback.monitor.replace("lr-Adam/", f"lr-{kind}/")


def write_profile(trainer: pl.Trainer, folder: Path) -> None:
    """Lets a profiler write its report into a folder (`fit-profile.txt`, ...): the log of Lightning is not shown."""
    profiler = trainer.profiler  # type: ignore[attr-defined]
    if not isinstance(profiler, PassThroughProfiler):
        profiler.filename = profiler.filename or "profile"
        profiler.dirpath = profiler.dirpath or folder


def check_task(model: GraphTask, data: GraphDataModule) -> None:
    """Raises UserError if the model is for another task than that of the data."""
    if model.kind and model.kind != data.task:
        raise UserError(
            f"model: {type(model).__name__} is for {model.kind}, but {data.name} has the task {data.task}: "
            "give the --model, or the --data.task, that fits"
        )


OF_THE_MODEL = ("optimizer", "lr_scheduler")
"""Settings of Lightning that the model has as its own."""


def refuse_lightning_s_own(settings: Iterable[str]) -> None:
    """Refuses Lightning's own `optimizer` and `lr_scheduler`, which would lose what the model's settings say.

    Raises:
        UserError: naming the setting to give instead.
    """
    for setting in settings:
        if setting in OF_THE_MODEL:
            raise UserError(f"{setting}: give model.{setting} instead, which keeps the other settings of training")


class CellCLI(LightningCLI):
    """Builds trainer, model and datamodule from a configuration; runs nothing itself.

    Args:
        args: command-line words: --config files first, overrides after them.
        directory: the run's folder: checkpoints and log go there.

    Attributes:
        words: what the command line sets itself, beside files.

    Raises:
        UserError: one line naming the setting that is wrong.
    """

    model: GraphTask
    datamodule: GraphDataModule
    trainer: pl.Trainer

    def __init__(self, args: Sequence[str], directory: Path) -> None:
        self.directory = directory
        try:
            with TemporaryDirectory() as folder:
                refuse_lightning_s_own(word.section for word in parse(args) if word.is_option)
                given = layers_of(args)
                self.words = [layer for layer in given if layer.file is None]
                if any(find(layer.settings, ("trainer", "default_root_dir")) is not None for layer in self.words):
                    raise UserError("trainer.default_root_dir: has no effect, the run's folder is it; give --runs-root")
                check_classes(given)
                layers, self.rules = take_out(without_replaced_classes(given))
                for place in LOGGERS:
                    layers = with_replaced(layers, place, lambda setting: in_folder(setting, directory))
                words = words_of(with_fresh_lists(layers), Path(folder))
                super().__init__(
                    model_class=GraphTask,
                    datamodule_class=GraphDataModule,
                    subclass_mode_model=True,
                    subclass_mode_data=True,
                    parser_class=RaisingParser,
                    parser_kwargs={"allow_abbrev": False},
                    save_config_callback=None,
                    run=False,
                    args=[*words, f"--trainer.default_root_dir={directory}"],
                )
        except (ValueError, TypeError, MisconfigurationException) as problem:
            if missing := missing_package(problem):
                raise UserError(missing) from problem
            raise UserError(explain(str(problem))) from problem
        except RuntimeError as problem:
            if not str(problem).startswith("Found more than one stateful callback"):
                raise
            kind = str(problem).partition("`")[2].partition("`")[0]
            raise UserError(
                f"trainer.callbacks: two {kind} with the same settings; give one other settings"
            ) from problem
        check_task(self.model, self.datamodule)
        tell_kept(layers)
        of_files = [rule for layer in layers if layer.file for rule in find(layer.settings, RULES) or []]
        sites = site_names(self.model)
        tell_replaced(of_files, self.model.scheme.overrides, sites)
        tell_without_sites(self.words, sites)
        tell_without_effect(self.words, self.model)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the words; rules for single sites that are added (`model.scheme.overrides+`) go in front."""
        super().parse_arguments(parser, args)
        if self.rules:
            old = find(yaml.safe_load(parser.dump(self.config, skip_link_targets=True)), RULES) or []
            super().parse_arguments(parser, [*args, f"--{WHERE}=[]", f"--{WHERE}={json.dumps([*self.rules, *old])}"])
        self._name_source()

    def _name_source(self) -> None:
        """Keeps with the settings of a network of one's own which code it is of; a run belongs to that code."""
        settings = self.config.get("model.init_args")
        if settings and settings.get("network") and not settings.get("network_source"):
            settings["network_source"] = source_of(settings["network"])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `init_from`, and takes the numbers of features and classes of the model from the data."""
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="a run, a checkpoint, or a scheme: the run of the same cell and seed in it, trained first if need be",
        )
        parser.add_argument(
            "--export", type=bool, default=True, help="whether to export a quantized model as an integer program"
        )
        for of_data, of_model in (("num_features", "in_features"), ("num_classes", "out_features")):
            parser.link_arguments(f"data.{of_data}", f"model.init_args.{of_model}", apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Refuses Lightning's own `optimizer` and `lr_scheduler` in a file; see `refuse_lightning_s_own`."""
        refuse_lightning_s_own(setting for setting in OF_THE_MODEL if self._get(self.config, setting) is not None)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Adds what every run has: atomic checkpoints (best and last), log, progress bar, stops at NaN and SIGTERM."""
        metric, mode = self.model.monitor
        folder = self.directory / "checkpoints"
        saving: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False, "save_on_train_epoch_end": True}
        callbacks: list[pl.Callback] = [
            RunCheckpoint(filename="best", monitor=metric, mode=mode, **saving),
            RunCheckpoint(filename="last", monitor=None, **saving),
            Divergence(),
            KeepSigterm(),
        ]
        config = self._get(self.config_init, "trainer")
        for setting, value in WITHOUT_CHECKPOINTS.items():
            if config.get(setting) is value:
                raise UserError(f"trainer.{setting}: leaves no checkpoint to evaluate and to export; leave it out")
        if config.get("enable_progress_bar") is not False:
            callbacks.append(progress())
        own = DummyLogger() if config.get("logger") is False else RunLog(str(self.directory), "tensorboard", "")
        kwargs["logger"] = [own, *(log for log in as_list(config.get("logger")) if isinstance(log, Logger))]
        self.trainer_defaults = {"callbacks": callbacks}
        plugins = as_list(config.get("plugins"))
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins) and (
            is_alone(config) or not started_by_a_cluster()  # to one alone, what a cluster says of others means nothing
        ):
            plugins.append(OwnProcesses())
        kwargs["plugins"] = [*plugins, AtomicCheckpointIO()]
        kwargs["accelerator"] = choose(config.get("accelerator"))
        check_time(config.get("max_time"))
        try:
            trainer: pl.Trainer = super().instantiate_trainer(enable_model_summary=False, **kwargs)
        except (ValueError, TypeError, MisconfigurationException) as problem:
            raise problem if isinstance(problem, UserError) else told_by_lightning(problem) from problem
        if isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._timeout = patience() or trainer.strategy._timeout
        # until here Lightning has taken it from RANK, SLURM_PROCID, ...
        rank_zero_only.rank = trainer.global_rank  # type: ignore[attr-defined]
        write_profile(trainer, self.directory)
        follow_optimizer(trainer, self.config["model.init_args"].get("optimizer"))
        if not self.exports:
            trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, ExportInt8)]  # type: ignore[attr-defined]
        return trainer

    @property
    def exports(self) -> bool:
        """Whether a quantized model is exported (the setting `export`)."""
        return bool(self._get(self.config_init, "export"))

    def resolved(self) -> str:
        """Returns the resolved configuration as YAML."""
        return str(self.parser.dump(self.config, skip_link_targets=True, skip_none=False))
