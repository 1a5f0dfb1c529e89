"""How constants are stored."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.program.constants import StorageFormat, sha256
from app.engine.program.io import save_program
from tests.app.engine.program.saved import build, constants_file


def test_few_bits_take_half_a_byte(tmp_path):
    sizes = []
    for bits in (4, 8):
        directory = save_program(build(bits=bits, width=400, rows=100), tmp_path / str(bits))
        sizes.append(constants_file(directory).stat().st_size)
    assert sizes[1] - sizes[0] == pytest.approx(400 * 100 / 2, abs=64)  # the headers differ a little


@pytest.mark.parametrize(
    ("codes", "bits", "stored"),
    [
        (np.int8([-8, 7, 0]), 4, [0xF0, 0x08]),
        (np.uint8([1, 2, 3, 0]), 2, [0x21, 0x03]),
        (np.int8([-8, 7, 0]), 5, [-8, 7, 0]),
    ],
)
def test_the_smallest_code_is_zero_and_the_first_of_two_is_the_lower_half(codes, bits, stored):
    format_ = StorageFormat.of(codes, bits)
    packed = format_.pack(codes)
    assert packed.tolist() == stored
    unpacked = format_.unpack("here", packed, sha256(packed))
    assert unpacked.dtype == codes.dtype
    assert unpacked.tolist() == codes.tolist()
