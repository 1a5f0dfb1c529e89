"""Base class of all datamodules."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from datamodules.classes import ClassNames, Label, unknown_as_class, untrained_classes
from datamodules.errors import DataWarning
from datamodules.features import Known, Scaling

Step = Literal["in_degree", "row_normalize", "standardize"]
"""How features can be made of raw ones, or of the graph; the engine has an op for each."""

STANDARDISED = "x standardised: (x - mean) / deviation of `scaling`, column by column"
"""What `features_are` says of measurements."""

SAID: set[str] = set()
"""The remarks that this process has made; many runs may read the same data."""


@dataclass(frozen=True)
class Content:
    """What a datamodule has read, as nested mappings and sequences of tensors, numbers and texts.

    Attributes:
        graphs: features, edges, targets.
        split: which nodes or graphs are for training, validation and test.
    """

    graphs: Any
    split: Any


class GraphDataModule(pl.LightningDataModule):
    """Base of all datamodules.

    `__init__` sets, in most data sets without reading a file, so that a model can be built: `name`, `task`
    ("node_classification", ...), `num_features` (width F of `x`; where `x` [N, 1] holds types, their number),
    `num_classes` (width of the output: number of classes, of labels, or of numbers to predict).

    `substitute`: how the data differs from the published original, for tables; empty if it does not. Set by `setup`.
    `ids`: the user's own name of each row that is predicted (node, or graph); empty where they count from 0.
    `categories`: for each column of categories that is made one-hot, which they are.
    `class_names`: the name of each class, label or number to predict; empty where they are 0, 1, ... themselves.
    `features_are`: how `x` was made of what the data has, in words, for those who serve the network.
    `scaling`: what was done to measurements, where anything was: set by `setup`, for those who serve the network.
    `preparation`: what made `x` of raw features, step by step, where these are fixed functions: set by `setup`.
    `known`: what a trained network knows of its own data, where it is to predict these rows, which are in no part then.
    `remarks`: what of the data is not used, or was taken for what; `setup` warns of each once.
    """

    substitute: str = ""
    ids: Sequence[Label] = ()
    categories: Sequence[Sequence[int]] = ()
    class_names: ClassNames = ()
    remarks: tuple[str, ...] = ()
    scaling: Scaling | None = None
    preparation: tuple[Step, ...] = ()
    known: Known | None = None
    features_are: str = "x as it is in the data"
    name: str
    task: str
    num_features: int
    num_classes: int

    def missing(self) -> list[str]:
        """Returns the raw data that is not there, each as `<where to get it> into <where to put it>`."""
        return []

    def pending(self) -> str:
        """Returns in a few words what `prepare_data` still has to build of the raw data; empty if nothing."""
        return ""

    def content(self) -> Content | None:
        """Returns what was read, for the fingerprint that a run keeps; called after `prepare_data` and `setup("fit")`.

        Here: the items of the data sets behind the loaders, each read once, in the data sets' own order and from fixed
        random numbers. None if the items of one cannot be numbered; such a subclass says here itself what it has read.
        """
        with isolate_rng():
            torch.manual_seed(0)
            np.random.seed(0)  # transforms may draw from it
            random.seed(0)
            parts = {"train": data_sets(self.train_dataloader()), "val": data_sets(self.val_dataloader())}
            self.setup("test")
            parts["test"] = data_sets(self.test_dataloader())
            numbered = (hasattr(data, "__getitem__") and hasattr(data, "__len__") for p in parts.values() for data in p)
            if not all(numbered):
                return None
            items = {name: [data[k] for data in part for k in range(len(data))] for name, part in parts.items()}
        return Content(list(items.values()), {name: len(part) for name, part in items.items()})

    def parts(self) -> Mapping[str, Tensor]:
        """Returns the numbers of the rows (nodes, or graphs) of each part, after `setup`; none where rows have none."""
        return {}

    def targets(self) -> Tensor:
        """Returns the target of every row; called after `setup`. Of rows that are not `labelled` it is any number."""
        raise NotImplementedError

    def labelled(self) -> Tensor:
        """Returns [rows] bool which rows have a target that is known: here, those in a part."""
        return torch.isin(torch.arange(len(self.targets())), torch.cat(list(self.parts().values())))

    def output_names(self) -> list[Label]:
        """Returns the name of each class, label or number to predict; none where there is one number only."""
        one = self.task.endswith("regression") and self.num_classes == 1
        return [] if one else list(self.class_names or range(self.num_classes))

    def remark(self, sentence: str) -> None:
        """Adds a sentence to `remarks`, unless it is empty or there already."""
        if sentence and sentence not in self.remarks:
            self.remarks = (*self.remarks, sentence)

    def warn_of_remarks(self) -> None:
        """Warns of what `remarks` says, once in a process; of several processes the first does. Called in `setup`."""
        if self.task.endswith("classification") and (parts := self.parts()):
            self.remark(untrained_classes(self.targets(), parts["train"], self.output_names()))
            self.remark(unknown_as_class(self.class_names))
        for sentence in self.remarks:
            said = f"{self.name}: {sentence}"
            if said not in SAID and (self.trainer is None or self.trainer.global_rank == 0):
                SAID.add(said)
                warnings.warn_explicit(said, DataWarning, "data", 0)


def data_sets(loaders: Any) -> list[Any]:
    """Returns the data sets of one loader or of several; of a loader that samples from a graph, that graph too."""
    found: list[Any] = []
    for loader in loaders if isinstance(loaders, list | tuple) else [loaders]:
        found += [[graph]] if (graph := getattr(loader, "data", None)) is not None else []
        found.append(getattr(loader, "dataset", None))
    return found
