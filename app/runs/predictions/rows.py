"""Computes predictions of chosen rows (nodes of one graph, or graphs), and gathers what the data says of these rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.config.lightning_cli import CellCLI
from app.config.suggestions import errors_in_one_line
from app.engine import Executable
from app.errors import UserError
from app.runs.exactness import graph_of
from app.runs.loading import NEW
from app.runs.provenance import alike
from callbacks.export_int8 import OUTPUTS, card_of
from datamodules import BatchedDataModule, FullBatchDataModule, GraphDataModule
from datamodules.classes import ClassNames, Label

ALL = "all"

SHOWN = 60
"""Characters of names of classes in a message."""


@dataclass(frozen=True)
class Predictions:
    """What was predicted of some rows.

    Attributes:
        kind: `node` or `graph`.
        learned: `classification`, `multilabel` or `regression`, a key of `TARGETS`.
        outputs: [rows, C] logits of C classes or labels, or C values.
        ids: the row's own name.
        parts: `train`, `val` or `test`; empty for a row in none of them.
        labelled: [rows] bool, whether its target is known.
        targets: [rows] classes; or [rows, C] labels or numbers, NaN where one is not known; of rows that are not
            labelled any number.
        class_names: what the data calls the classes, labels or numbers; empty: their numbers.
    """

    kind: str
    learned: str
    outputs: np.ndarray
    ids: Sequence[Label]
    parts: Sequence[str]
    labelled: np.ndarray
    targets: np.ndarray
    class_names: ClassNames


def by_checkpoint(built: CellCLI, part: str) -> Predictions:
    """Returns what a loaded run predicts of the rows of a part (`train`, `val`, `test`, or `all`)."""
    data = built.datamodule
    data.prepare_data()
    data.setup("predict")
    rows = rows_of(data, part)
    built.trainer.limit_predict_batches = 1.0  # all rows, whatever the run was trained with
    with errors_in_one_line():
        batches: Any = built.trainer.predict(built.model, dataloaders=batches_of(data, rows))
    return _described(data, rows, torch.cat(batches).numpy())


def by_program(program: Executable, data: GraphDataModule, part: str, name: str) -> Predictions:
    """Returns what a program predicts of the rows of a part of data that is set up.

    Args:
        name: what the user calls the program, for messages.

    Raises:
        UserError: if the program is of other data, or reads other features.
    """
    rows = rows_of(data, part)
    check_learned(program, data, name, new=part == NEW)
    check_features(program, data, name)

    def outputs() -> Iterator[np.ndarray]:
        for batch in batches_of(data, rows):
            width = batch.x.shape[1]
            if program.in_features != width:
                raise UserError(f"{name}: reads {program.in_features} features per node, {data.name} has {width}")
            yield program.run(batch.x, graph_of(batch, program))

    return _described(data, rows, np.concatenate(list(outputs())))


def check_learned(program: Executable, data: GraphDataModule, name: str, *, new: bool) -> None:
    """Checks that a program was trained on data of this name, task and classes, as far as its card says.

    Args:
        new: whether the data is other data of the same kind.

    Raises:
        UserError: if it was not.
    """
    there, here = (card.get("data", {}) for card in (program.manifest, card_of(data)))
    for key in ("name", "task", *OUTPUTS.values()):
        if key in there and key in here and there[key] != here[key] and not (new and key == "name"):
            raise UserError(
                f"{name}: was trained on data with {key} {shown(there[key])}, not {shown(here[key])}: give --cell or "
                "--run of that data, or --split new with --run for other data of its kind"
            )


def shown(value: object) -> str:
    """Returns a name, a number or a list of names for a message."""
    return shorten(str(value), SHOWN, placeholder=" ...")


def check_features(program: Executable, data: GraphDataModule, name: str) -> None:
    """Checks that data makes its features as those were made that a program was trained on, as far as its card says.

    Raises:
        UserError: if it does not.
    """
    if program.prepares:
        raise UserError(
            f"{name}: reads raw features, those of {data.name} are prepared: give the program of a run, or one"
            " that was exported without --with-preprocessing"
        )
    there, here = program.manifest, card_of(data)
    theirs = there.get("data", {}).get("features")
    if theirs is None:
        return
    way = "give the settings of the data that it was trained on, or --run with its run"
    if theirs != data.features_are:
        raise UserError(f"{name}: reads features made so: {theirs}; those of {data.name}: {data.features_are}; {way}")
    if not alike(there.get("scaling"), here.get("scaling")):
        raise UserError(f"{name}: its features were standardised by other numbers than those of {data.name}; {way}")


def rows_of(data: GraphDataModule, part: str) -> Tensor:
    """Returns the numbers of the rows of a part, ascending.

    Raises:
        UserError: for a datamodule of one's own that does not say which rows its parts have.
    """
    parts = data.parts()
    if not parts:
        raise UserError(f"{data.name}: {type(data).__name__} does not say which rows its parts have: implement `parts`")
    return torch.arange(len(data.targets())) if part in (ALL, NEW) else parts[part]


def batches_of(data: GraphDataModule, rows: Tensor) -> Any:
    """Returns a loader of the batches that hold the rows; of one graph that is the whole graph."""
    return data.rows_dataloader(rows) if isinstance(data, BatchedDataModule) else data.predict_dataloader()


def _described(data: GraphDataModule, rows: Tensor, outputs: np.ndarray) -> Predictions:
    kind, _, learned = data.task.partition("_")
    targets, width = data.targets()[rows].numpy(), outputs.reshape(len(outputs), -1).shape[1]
    names = np.full(len(data.targets()), "", dtype="<U5")
    for part, numbers in data.parts().items():
        names[numbers.numpy()] = part
    return Predictions(
        kind=kind,
        learned=learned,
        outputs=(outputs[rows.numpy()] if isinstance(data, FullBatchDataModule) else outputs).reshape(len(rows), -1),
        ids=[data.ids[row] for row in rows.tolist()] if len(data.ids) else rows.tolist(),
        parts=names[rows.numpy()].tolist(),
        labelled=data.labelled()[rows].numpy(),
        targets=targets if learned == "classification" else targets.reshape(-1, width),
        class_names=data.class_names,
    )
