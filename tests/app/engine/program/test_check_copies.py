"""What `validate` refuses of ops that copy codes: whatever lies on another grid, at another place, or has no room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.engine.program.check import ProgramError, validate
from tests.app.engine.program.examples import GRID, of_copies, with_op, with_value


@pytest.mark.parametrize("change", [{"scale": 0.25}, {"zero_point": 1}, {"bits": 4}, {"signed": False}])
@pytest.mark.parametrize("name", ["others", "largest"])
def test_another_grid_is_refused(name, change):
    with pytest.raises(ProgramError, match=r"op 2 \(maximum\): input '\w+' must lie on exactly the grid of output"):
        validate(with_value(name, of_copies, grid=replace(GRID, **change)))


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (lambda: with_op(2, of_copies, inputs=("codes",)), r"op 2 \(maximum\): takes 2 inputs or more, got 1"),
        (lambda: with_op(2, of_copies, inputs=("codes", "x")), r"op 2 \(maximum\): input 'x' must be codes"),
        (lambda: with_op(2, of_copies, attributes={"weights": (1.0,) * 3}), "unknown attribute 'weights'"),
        (lambda: with_value("largest", of_copies, width=5), r"op 2 \(maximum\): needs inputs and output equally wide"),
        (lambda: with_value("largest", of_copies, domain="graph"), "output 'largest' must live at one place"),
        (lambda: with_value("largest", of_copies, domain="edge"), "output 'largest' must live at one place"),
        (lambda: with_op(3, of_copies, inputs=("codes",)), r"op 3 \(concatenate\): takes 2 inputs or more, got 1"),
        (
            lambda: with_value("together", of_copies, width=11),
            r"op 3 \(concatenate\): needs an output as wide as all inputs together, got \[4, 4, 4\] -> 11",
        ),
        (
            lambda: with_value("together", of_copies, grid=replace(GRID, zero_point=1)),
            r"op 3 \(concatenate\): input 'largest' must lie on exactly the grid of output 'together'",
        ),
    ],
)
def test_refused_copies(program, sentence):
    with pytest.raises(ProgramError, match=sentence):
        validate(program())
