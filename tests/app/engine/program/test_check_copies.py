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


def test_a_pool_that_adds_up_may_change_the_grid():
    changed = with_value("pooled", of_copies, grid=replace(GRID, zero_point=3))
    ops = [*changed.ops[:5], replace(changed.ops[5], attributes={}), changed.ops[6]]
    validate(replace(changed, ops=tuple(ops)))


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
        (lambda: with_op(4, of_copies, inputs=("together",) * 2), r"op 4 \(neighbour_max\): takes 1 inputs, got 2"),
        (lambda: with_op(4, of_copies, attributes={"row_scale": "inverse_degree"}), "unknown attribute 'row_scale'"),
        (lambda: with_value("received", of_copies, domain="graph"), "output 'received' must live on nodes"),
        (
            lambda: with_value("received", of_copies, grid=replace(GRID, scale=0.25)),
            r"op 4 \(neighbour_max\): input 'together' must lie on exactly the grid of output 'received'",
        ),
        (
            lambda: with_op(5, of_copies, attributes={"reduce": "min"}),
            r"op 5 \(pool\): reduce must be 'max', got 'min'",
        ),
        (lambda: with_op(5, of_copies, attributes={"reduce": True}), "reduce must be 'max', got True"),
        (
            lambda: with_op(5, of_copies, attributes={"reduce": "max", "row_scale": "inverse_degree"}),
            r"op 5 \(pool\): row_scale is for sums, not for a reduce",
        ),
        (
            lambda: with_value("pooled", of_copies, grid=replace(GRID, zero_point=3)),
            r"op 5 \(pool\): input 'received' must lie on exactly the grid of output 'pooled'",
        ),
    ],
)
def test_refused_copies(program, sentence):
    with pytest.raises(ProgramError, match=sentence):
        validate(program())
