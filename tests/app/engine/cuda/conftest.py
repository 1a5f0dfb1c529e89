"""Ops alone on a device."""

from __future__ import annotations

from functools import partial

import pytest

from app.engine.ops.reference import REFERENCE
from tests.app.engine.conftest import run_alone


@pytest.fixture
def there(device):
    """there(op, graph, *inputs): the result of the device; codes go in as they are."""
    from app.engine.cuda.backend import backend_on

    return partial(run_by, backend_on(device))


@pytest.fixture
def both_there(there):
    """both_there(op, graph, *inputs): results of the reference and of the device."""
    return lambda *given: [run_by(REFERENCE, *given), there(*given)]


def run_by(backend, op, graph, *inputs):
    """The result of one op by a backend, as NumPy."""
    own = [
        backend.from_numpy(value, declared) if declared.grid else backend.read(value)
        for value, declared in zip(inputs, op.inputs, strict=True)
    ]
    return backend.to_numpy(run_alone(backend, op, graph, *own), op.output)
