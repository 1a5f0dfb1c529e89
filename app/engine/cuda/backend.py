"""The backend of a GPU: every op is a stage, and values stay on the device between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from ..features import Features
from ..graph import Graph
from ..kernels.sparse import densified
from ..ops.backend import Backend, RunOp, Single
from ..ops.bound import BoundOp
from ..ops.step import stored_codes
from ..program.model import Value
from ..workers import Workers
from . import edges, norms, rows
from .device import Device, device_of

OPS: Mapping[str, Callable[[BoundOp, Device], RunOp]] = {
    "in_degree": rows.on_host,
    "row_normalize": rows.on_host,
    "standardize": rows.on_host,
    "quantize": rows.quantize,
    "embedding": rows.embedding,
    "lookup": rows.lookup,
    "linear": rows.linear,
    "requantize": rows.requantize,
    "add": rows.add,
    "concatenate": rows.concatenate,
    "maximum": rows.maximum,
    "normalize": norms.normalize,
    "sum": edges.sum_,
    "neighbour_max": edges.neighbour_max,
    "edge_norm": edges.edge_numbers_coded,
    "edge_weight": edges.edge_numbers_coded,
    "weighted_sum": edges.weighted_sum,
    "attention_logits": edges.attention_logits,
    "dynamic_attention_logits": edges.dynamic_attention_logits,
    "edge_softmax": edges.edge_softmax,
    "pool": edges.pool,
    "dequantize": rows.dequantize,
}


@cache
def backend_on(name: str) -> Backend:
    """Returns the backend of a device; all programs on it share what it keeps of graphs.

    Raises:
        ValueError: see `device_of`.
    """
    device = device_of(name)

    def there(run: RunOp) -> RunOp:
        def run_there(graph: Graph, *inputs: Any) -> Any:
            with device.current():
                return run(graph, *inputs)

        return run_there

    def read(x: Features) -> Tensor:
        with device.current():
            return device.put(densified(x))

    def stages(ops: Sequence[BoundOp], workers: Workers, *, together: bool) -> list[Single]:
        return [Single(op, there(OPS[op.op.kind](op, device))) for op in ops]

    def from_numpy(codes: np.ndarray, declared: Value) -> Tensor:
        assert declared.grid is not None, f"{declared.name} is not coded"
        return device.put(stored_codes(codes, declared.grid))

    return Backend(
        read,
        stages,
        lambda op: there(edges.messages(op, device)),
        lambda op: there(edges.add_up(op, device)),
        None,
        to_numpy,
        from_numpy,
    )


def to_numpy(value: Tensor, declared: Value) -> np.ndarray:
    """Returns a value as NumPy: float32, or codes on its grid."""
    array: np.ndarray = value.cpu().numpy()
    if declared.grid is None:
        return array
    return (array.astype(np.int16) + declared.grid.qmin).astype(np.int8 if declared.grid.signed else np.uint8)
