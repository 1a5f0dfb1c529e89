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


def array_state(shape: tuple[int, ...], code: str, content: object) -> bytes:
    """A pickle of an array that is given a state of anybody's choice."""

    class Element:
        def __reduce__(self):
            return np.dtype, (code, False, True)

    class Array:
        def __reduce__(self):
            reconstruct = np.zeros(0).__reduce__()[0]
            return reconstruct, (np.ndarray, (0,), b"b"), (1, shape, Element(), False, content)

    return pickle.dumps(Array())


class Sized:
    """Its pickle asks for an array of 10^12 elements."""

    def __reduce__(self):
        return np.ndarray, ((1 << 40,),)


@pytest.mark.parametrize(
    "content",
    [
        array_state((10**7,), "O", [1]),
        array_state((10**7,), "u1", b"few"),
        array_state((-1,), "u1", b"few"),
        array_state((3,), "u1", 7),
        array_state((1,), "V8", b"8 bytes."),
        array_state((1,), "u1,O", b"8 bytes."),
        pickle.dumps(Sized()),
        pickle.dumps(np.array([None])),
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(content):
    with pytest.raises(ValueError, match=r"\w"):
        unpickle(content, ARRAYS)


@pytest.mark.parametrize("array", [np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.eye(3)),
                                   np.array([True, False]), np.zeros((0, 4), np.float32)])  # fmt: skip
def test_arrays_of_numbers_come_out_as_they_went_in(array):
    found = unpickle(pickle.dumps(array), ARRAYS)
    assert np.array_equal(found, array)
    assert found.dtype.kind == array.dtype.kind
