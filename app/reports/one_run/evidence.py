"""Gathers what the report of one run shows beside its result: predictions, in-degrees, ranges, sizes, latency."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from app.config.lightning_cli import CellCLI
from app.engine import Executable, load_program
from app.engine.program.io import MANIFEST
from app.runs.exactness import graph_of
from app.runs.loading import load_run
from app.runs.predictions.degrees import degree_bin
from app.runs.predictions.rows import Predictions, by_checkpoint, rows_of
from app.runs.result import Result
from app.runs.run_folder import Run
from app.runs.timing import Timing, interleaved
from datamodules import FullBatchDataModule
from models.quantization.control import rounding_only, rounding_sites
from models.quantization.fake_quantize import Site
from models.quantization.protection import in_degree
from models.tasks import on_device

PART = "test"
REPEATS = 20
FLOATS, PROGRAM = "network in FP32 (torch)", "integer program"


@dataclass(frozen=True)
class Evidence:
    """A finished run with its best weights, and what its network does on the test data."""

    run: Run
    result: Result
    built: CellCLI

    @classmethod
    def of(cls, run: Run) -> Evidence:
        """Loads a finished run.

        Raises:
            UserError: if the folder holds none, or its data is not that of training.
        """
        return cls(run, run.read_result(), load_run(run))

    @cached_property
    def predictions(self) -> Predictions:
        """What the run predicts of the test rows."""
        return by_checkpoint(self.built, PART)

    @cached_property
    def degree_bins(self) -> np.ndarray:
        """[rows] the bin of each test row's in-degree; of graphs, of the mean over its nodes, rounded."""
        data: Any = self.built.datamodule
        self.predictions  # noqa: B018 - sets the data up
        rows = rows_of(data, PART)
        if isinstance(data, FullBatchDataModule):
            assert data.graph_data is not None
            degrees = in_degree(data.graph_data.edge_index, data.graph_data.num_nodes)[rows]
        else:
            degrees = (data.store.num_edges[rows] / data.store.num_nodes[rows]).round()
        return degree_bin(degrees).numpy()

    @cached_property
    def sites(self) -> list[Site]:
        """The sites that round."""
        return list(rounding_sites(self.built.model))

    @cached_property
    def batch(self) -> Any:
        """The first batch of the test data, or the one graph."""
        self.predictions  # noqa: B018 - sets the data up
        return next(iter(self.built.datamodule.predict_dataloader()))

    @cached_property
    def program(self) -> Executable | None:
        """The integer program in the run's folder, if there is one."""
        return load_program(self.run.program) if (self.run.program / MANIFEST).exists() else None

    @cached_property
    def latency(self) -> dict[str, Timing]:
        """How long a forward of the batch takes: of the network in floats, and of the program if there is one."""
        task = deepcopy(self.built.model).eval()
        candidates: dict[str, Callable[[], object]] = {}
        if self.program is not None:
            candidates[PROGRAM] = partial(self.program.run, self.batch.x, graph_of(self.batch, self.program))
        with rounding_only(task, ()), torch.inference_mode():
            candidates = {FLOATS: partial(task, on_device(self.batch, task.device)), **candidates}
            return interleaved(candidates, REPEATS)
