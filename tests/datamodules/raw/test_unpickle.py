from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from datamodules.raw.unpickle import ARRAYS, unpickle


class Dangerous:
    """Its pickle runs a command when it is read without care."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def test_an_allowed_class_is_made():
    content = pickle.dumps(OrderedDict(a=1))
    assert unpickle(content, {"collections.OrderedDict": OrderedDict}) == OrderedDict(a=1)


def test_anything_else_is_refused_before_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"names posix\.system, which this data set has no use for"):
        unpickle(pickle.dumps(Dangerous()), ARRAYS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2, 3])[:-2], pickle.dumps({})[1:]])
def test_a_damaged_pickle_is_refused(content):
    with pytest.raises(ValueError, match=r"\w"):
        unpickle(content, {})


@pytest.mark.parametrize("numpy", [b"numpy.core", b"numpy._core"])
def test_arrays_of_either_numpy_are_read(numpy):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    content = pickle.dumps(array, protocol=2).replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", numpy)
    assert numpy in content
    assert np.array_equal(unpickle(content, ARRAYS), array)
