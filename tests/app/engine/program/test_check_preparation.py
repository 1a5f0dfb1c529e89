"""What `validate` refuses of ops that prepare features, and which ops these are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.engine.program.check import ProgramError, validate
from app.engine.program.model import Op
from app.engine.program.preparation import features_of, preparing
from tests.app.engine.program.examples import of_raw, whole, with_op, with_value

SCALING = {"mean": (0.5,) * 4, "deviation": (2.0,) * 4}


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (lambda: with_op(1, of_raw, attributes={"mean": (0.5,) * 4}), "attribute 'deviation' is missing"),
        (lambda: with_op(1, of_raw, attributes=SCALING | {"mean": (0.5,) * 3}), "mean has 3 numbers for 4 columns"),
        (lambda: with_op(1, of_raw, attributes=SCALING | {"mean": (0.5, 1)}), "mean must be finite floats"),
        (
            lambda: with_op(1, of_raw, attributes=SCALING | {"deviation": (1.0, 1.0, 1.0, 0.0)}),
            "deviation must be finite floats above 0",
        ),
        (lambda: with_op(1, of_raw, attributes=SCALING | {"single": 1}), "single must be true or false"),
        (lambda: with_value("shares", of_raw, width=3), "needs inputs and output equally wide"),
        (lambda: with_value("degrees", of_raw, width=2), "needs an output of width 1"),
        (lambda: without_x(of_raw()), r"op 0 \(row_normalize\): value 'x' is missing"),
        (lambda: without_x(whole()), "value 'x' is missing"),
    ],
)
def test_refused(program, sentence):
    with pytest.raises(ProgramError, match=sentence):
        validate(program())


def without_x(program):
    return replace(program, values={name: value for name, value in program.values.items() if name != "x"})


def test_ops_on_other_values_than_the_features_prepare_nothing():
    program = of_raw()
    assert [op.kind for op in preparing(program)] == ["row_normalize", "standardize"]
    assert features_of(program) == "scaled"
    later = Op("row_normalize", ("logits",), "shares of logits")
    assert preparing(replace(program, ops=(*program.ops, later))) == preparing(program)
    assert preparing(whole()) == ()
