"""Compares the integer program with the trained model, code by code and prediction by prediction."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import copy, deepcopy
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from app.engine import Executable, Graph, load_program
from app.engine.program.io import read_program
from app.engine.program.model import OUTPUT, IntegerProgram
from datamodules import GraphDataModule
from models.layers.evaluation.row_blocks import blocks_of, rows_of
from models.quantization.control import quantizers, takes_blocks
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.sparse import Features, SparseRows
from models.tasks import GraphTask, on_device

Codes = Mapping[str, np.ndarray]
"""Codes by name of their site."""

DIFFERENCES = ("codes_differing", "largest_difference", "predictions_differing", "margin_violations")
"""The counts that `compare_with_float64` returns."""

AT_ONCE = 2**20
"""Codes that are made or compared at once: what that takes beside them does not grow with the graph."""


def compare(task: GraphTask, data: GraphDataModule, program: Path) -> dict[str, int]:
    """Runs the trained model in evaluation mode and the integer program on the prediction data.

    Returns:
        `codes`: codes compared at all node, edge and graph sites; `codes_differing`; `largest_difference` in LSB;
        `ties`: codes that differ where the ops before them are given the codes of the trained model, so where the
        last bit of a float sum decides; `largest_tie` in LSB;
        `predictions`; `predictions_differing`: rows whose class (one of whose labels, or numbers) differs;
        `margin_violations`: those among them that one output step cannot explain: the trained model's top two
        logits (of a label: its logit and 0; of a number: the two values) are further apart.
    """
    executable = load_program(program)
    step = output_step(task, program)
    counts = dict.fromkeys(("codes", "codes_differing", "ties", "predictions", "predictions_differing"), 0)
    counts |= {"largest_difference": 0, "largest_tie": 0, "margin_violations": 0}
    for batch in prediction_batches(data):
        codes, logits = trained_codes(task, batch)
        counts["codes"] += sum(code.size for code in codes.values())
        x, graph = executable.place(batch.x), graph_of(batch, executable)
        traced = executable.trace_placed(x, graph)
        computed = compare_in_turn(counts, codes, traced, number="codes_differing", largest="largest_difference")
        count_disagreements(counts, *task.target.differing(logits, torch.from_numpy(computed).view_as(logits), step))
        given = {name: code.reshape(len(code), math.prod(code.shape[1:])) for name, code in codes.items()}
        compare_in_turn(counts, codes, executable.trace_placed(x, graph, given), number="ties", largest="largest_tie")
        counts["predictions"] += len(logits)
    return counts


def compare_with_float64(task: GraphTask, data: GraphDataModule, program: Path) -> dict[str, dict[str, int]]:
    """Compares the program, the trained model, and the same model computing in float64 with each other.

    Sums in float64 decide nearly all ties as real numbers would. So float64 says what the model means, and the float32
    evaluation and the program are two approximations of it.

    Returns:
        For each pair of them `codes_differing`, `largest_difference`, `predictions_differing`, `margin_violations`
        as in `compare`.
    """
    executable = load_program(program)
    step = output_step(task, program)
    double = deepcopy(task).double()
    pairs: dict[str, dict[str, int]] = {}
    for batch in prediction_batches(data):
        traced = executable.trace_placed(executable.place(batch.x), graph_of(batch, executable))
        trained, exact = trained_codes(task, batch), trained_codes(double, in_float64(batch))
        trace = {name: value for name, value in traced if name in trained[0] or name == OUTPUT}
        sides = {
            "trained in float32": trained,
            "in float64": exact,
            "program": (trace, torch.from_numpy(trace[OUTPUT])),
        }
        for (one, (codes, logits)), (other, (others, computed)) in combinations(sides.items(), 2):
            counts = pairs.setdefault(f"{other} / {one}", dict.fromkeys(DIFFERENCES, 0))
            count_differences(counts, codes, others, number="codes_differing", largest="largest_difference")
            count_disagreements(counts, *task.target.differing(logits, computed.view_as(logits), step))
    return pairs


def prediction_batches(data: GraphDataModule) -> Iterator[Any]:
    """Yields batches of all graphs, also where several processes train together."""
    data = copy(data)
    data.trainer = None
    data.setup("predict")
    yield from data.predict_dataloader()


def in_float64(batch: Any) -> Any:
    """Returns the batch with features in float64 if they are floats; categories stay integers."""
    doubled = copy(batch)
    doubled.x = batch.x.double() if batch.x.is_floating_point() else batch.x
    return doubled


def compare_in_turn(
    counts: dict[str, int], expected: Codes, traced: Iterable[tuple[str, np.ndarray]], *, number: str, largest: str
) -> np.ndarray:
    """Adds to `counts` how a trace differs from `expected`, as `count_differences`; returns its logits.

    It holds one value of the trace at a time.

    Raises:
        KeyError: if the trace lacks one of the expected values.
    """
    left, logits = dict(expected), None
    for name, value in traced:
        if name in left:
            count_differences(counts, {name: left.pop(name)}, {name: value}, number=number, largest=largest)
        logits = value if name == OUTPUT else logits
    if left or logits is None:
        raise KeyError(*left)
    return logits


def count_differences(counts: dict[str, int], expected: Codes, got: Codes, *, number: str, largest: str) -> None:
    """Adds how many codes differ to `counts[number]`, and keeps in `counts[largest]` by how much at most."""
    for name, codes in expected.items():
        one, other = codes.reshape(-1), got[name].reshape(codes.size)
        for block in blocks_of(one.size, AT_ONCE):
            distance = np.abs(one[block].astype(np.int16) - other[block].astype(np.int16))
            counts[number] += int((distance > 0).sum())
            counts[largest] = max(counts[largest], int(distance.max(initial=0)))


def count_disagreements(counts: dict[str, int], wrong: Tensor, apart: Tensor) -> None:
    """Adds to `counts` how many rows are predicted otherwise, and how many of them one output step cannot explain."""
    counts["predictions_differing"] += int(wrong.sum())
    counts["margin_violations"] += int((wrong & apart).sum())


def graph_of(batch: Data, program: Executable) -> Graph:
    """Returns what a program reads beside node features: edges, their weights if it does, the graph of each node."""
    of_batch = (batch.batch, batch.num_graphs) if batch.batch is not None else ()
    weights = batch.edge_weight if program.reads_edge_weights else None
    return Graph(batch.edge_index, batch.num_nodes, *of_batch, edge_weight=weights)


def output_step(task: GraphTask, program: Path) -> float:
    """Returns the distance of two neighbouring logits, the scale of the output site; 0.01 % more, for rounding.

    Logits that are not rounded have the step of the last product: by how much one code that it reads moves a logit.
    """
    site = task.network.output_site
    step = last_step(read_program(program)) if site is None else site.grid().scale
    return step * 1.0001


def last_step(program: IntegerProgram) -> float:
    """Returns by how much a logit moves at most if one code moves by one that the ops which write it multiply."""
    steps = []
    for op in program.ops:
        if op.kind == "linear" and program.values[op.output].grid is None:
            grid, inputs = op.grids["weight_grid"], program.values[op.inputs[0]].grid
            assert inputs is not None
            weight = np.abs(program.constants[op.tensors["weight"]].astype(np.int64) - grid.zero_point).max(1)
            scale = program.constants[op.tensors["scale"]] if "scale" in op.tensors else grid.scale
            steps.append(float((weight * scale).max()) * inputs.scale)
    return max(steps)


@torch.no_grad()
def trained_codes(task: GraphTask, batch: Any) -> tuple[dict[str, np.ndarray], Tensor]:
    """Runs a batch in evaluation mode, on the model's device.

    Returns:
        The codes of all sites, except of parameters, and the logits; on the CPU.
    """
    seen: defaultdict[str, list[np.ndarray]] = defaultdict(list)

    @takes_blocks
    def watch(site: FakeQuantize, inputs: tuple[Features, ...], output: Features) -> None:
        seen[site.name].append(codes_at(site, inputs[0]))

    hooks = [q.register_forward_hook(watch) for q in quantizers(task) if q.domain != "parameter"]
    was_training = task.training
    task.eval()
    logits = task(on_device(batch, task.device))
    task.train(was_training)
    for hook in hooks:
        hook.remove()
    codes = {name: np.concatenate(blocks) for name, blocks in ((name, seen.pop(name)) for name in list(seen))}
    return codes, logits.view(len(logits), -1).cpu()


def codes_at(site: FakeQuantize, x: Features) -> np.ndarray:
    """Returns the codes of x [N, ...] at a site, int8 or uint8, on the CPU; sparse rows have those of zeros as well."""
    codes = np.empty(x.shape, np.int8 if site.grid().signed else np.uint8)
    for rows in blocks_of(len(codes), max(AT_ONCE // max(math.prod(x.shape[1:]), 1), 1)):
        block = rows_of(x, rows)
        codes[rows] = site.codes(block.to_dense() if isinstance(block, SparseRows) else block).cpu().numpy()
    return codes
