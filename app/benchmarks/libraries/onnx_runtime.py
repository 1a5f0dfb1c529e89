"""ONNX Runtime: the network of PyG layers, exported with sizes left open. Coefficients of edges are part of it."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.benchmarks.networks import calibrated_network, features
from app.benchmarks.peers.pyg import PyGNetwork
from app.benchmarks.workloads import Inputs

NEEDS = ("onnxruntime", "onnx", "onnxscript")


def missing() -> str | None:
    """Returns what is not installed, as words; None: all is there."""
    absent = [name for name in NEEDS if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


class _Exported(nn.Module):
    """The forward of a network, without what exporters cannot read."""

    def __init__(self, network: PyGNetwork) -> None:
        super().__init__()
        self.network = network
        for conv in network.convs:
            if hasattr(conv, "cached"):
                setattr(conv, "cached", False)  # noqa: B010 - mypy takes it for a module

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Computes the logits."""
        logits: Tensor = PyGNetwork.forward.__wrapped__(self.network, x, edge_index)  # type: ignore[attr-defined]
        return logits


@lru_cache
def exported(name: str) -> bytes:
    """Returns a benchmark network in ONNX: by torch.export, which gives the faster graphs, else by TorchScript."""
    network = _Exported(PyGNetwork(calibrated_network(name, 8)).eval())
    sample = features(name, 5), torch.tensor([[0, 1, 2], [1, 2, 3]])
    rows, edges = torch.export.Dim("rows"), torch.export.Dim("edges")
    with tempfile.TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "network.onnx"
        try:
            shapes = ({0: rows}, {1: edges})
            torch.onnx.export(network, sample, path, dynamo=True, dynamic_shapes=shapes, external_data=False)
        except Exception:  # an exporter fails in many ways
            axes = {"x": {0: "rows"}, "edge_index": {1: "edges"}}
            names = {"input_names": list(axes), "dynamic_axes": axes}
            torch.onnx.export(network, sample, path, dynamo=False, opset_version=18, **names)  # type: ignore[arg-type]
        return path.read_bytes()


@contextlib.contextmanager
def _silence() -> Any:
    """Keeps what exporters print from the tables."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def forward_of(name: str, inputs: Inputs, threads: int) -> Callable[[], Any]:
    """Returns the forward of a benchmark network on inputs."""
    import onnxruntime  # where it is installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(exported(name), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    feeds = dict(zip(names, (inputs.x.numpy(), inputs.edge_index.numpy()), strict=True))
    return lambda: session.run(None, feeds)[0]
