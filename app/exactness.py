"""How exactly the integer program computes what was trained: code by code, prediction by prediction."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from app.engine import Graph, load_program
from datamodules import GraphDataModule
from models.quantization.control import quantizers
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.sparse import Features, SparseRows
from models.tasks import GraphTask


def compare(task: GraphTask, data: GraphDataModule, program: Path) -> dict[str, int]:
    """Runs the evaluation forward of `task` and the integer program on the prediction data.

    Returns:
        `codes`: codes compared at all node, edge and graph sites; `codes_differing`; `largest_difference` in LSB;
        `ties`: codes that differ where the ops before them are given the codes of the trained model, so where the
        last bit of a float sum decides; `largest_tie` in LSB;
        `predictions`; `predictions_differing`: rows whose class (of a regression: value) differs;
        `margin_violations`: those among them that one output step cannot explain: the trained model's top two
        logits (of a regression: the two values) are further apart.
    """
    executable = load_program(program)
    step = output_step(task)
    counts = dict.fromkeys(("codes", "codes_differing", "ties", "predictions", "predictions_differing"), 0)
    counts |= {"largest_difference": 0, "largest_tie": 0, "margin_violations": 0}
    data = copy(data)
    data.trainer = None  # all graphs, not the share of this one of several processes
    data.setup("predict")
    for batch in data.predict_dataloader():
        codes, logits = trained_codes(task, batch)
        graph = graph_of(batch)
        trace = executable.trace(batch.x, graph)
        counts["codes"] += sum(code.size for code in codes.values())
        count_differences(counts, codes, trace, "codes_differing", "largest_difference")
        given = {name: code.reshape(trace[name].shape) for name, code in codes.items()}
        count_differences(counts, codes, executable.trace(batch.x, graph, given=given), "ties", "largest_tie")
        wrong, apart = disagreement(logits.numpy(), trace["logits"], step)
        counts["predictions"] += len(wrong)
        counts["predictions_differing"] += int(wrong.sum())
        counts["margin_violations"] += int((wrong & apart).sum())
    return counts


def count_differences(
    counts: dict[str, int], expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], number: str, largest: str
) -> None:
    """Adds up how many codes differ, and keeps by how much at most."""
    for name, codes in expected.items():
        distance = np.abs(codes.astype(np.int16) - got[name].reshape(codes.shape).astype(np.int16))
        counts[number] += int((distance > 0).sum())
        counts[largest] = max(counts[largest], int(distance.max(initial=0)))


def graph_of(batch: Data) -> Graph:
    """What a program reads beside the node features: the edges, and of a batch of graphs whose nodes are whose."""
    of_batch = (batch.batch, batch.num_graphs) if batch.batch is not None else ()
    return Graph(batch.edge_index, batch.num_nodes, *of_batch)


def disagreement(trained: np.ndarray, computed: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose predictions differ, and rows in which one output step would not make them; both bool [rows].

    Shapes:
        trained, computed [rows, C]: logits of C classes, or the one value (C = 1) of a regression.
    """
    if trained.shape[1] == 1:
        distance = np.abs(trained - computed)[:, 0]
        return distance > 0, distance > step
    second, first = np.sort(trained, axis=1)[:, -2:].T
    return trained.argmax(1) != computed.argmax(1), first - second > step


def output_step(task: GraphTask) -> float:
    """Distance of two neighbouring logits: the scale of the last site."""
    return list(quantizers(task))[-1].grid().scale * 1.0001


@torch.no_grad()
def trained_codes(task: GraphTask, batch: Any) -> tuple[dict[str, np.ndarray], Tensor]:
    """Codes at every site but the parameters' of the evaluation forward, by site name, and the logits."""
    seen: dict[str, np.ndarray] = {}

    def watch(site: FakeQuantize, inputs: tuple[Features, ...], output: Features) -> None:
        x = inputs[0].to_dense() if isinstance(inputs[0], SparseRows) else inputs[0]
        seen[site.name] = site.codes(x).numpy()

    hooks = [q.register_forward_hook(watch) for q in quantizers(task) if q.domain != "parameter"]
    was_training = task.training
    task.eval()
    logits = task(batch)
    task.train(was_training)
    for hook in hooks:
        hook.remove()
    return seen, logits
