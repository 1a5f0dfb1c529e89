"""What `validate` refuses of normalised rows."""

from __future__ import annotations

import pytest

from app.engine.program.check import ProgramError, validate
from tests.app.engine.program.examples import of_norms, with_op, with_value

ROW, GRAPH = {"over": "row", "eps": 1e-5}, {"over": "graph", "eps": 1e-5}


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (lambda: with_op(1, of_norms, attributes={"eps": 1e-5}), r"op 1 \(normalize\): attribute 'over' is missing"),
        (lambda: with_op(1, of_norms, attributes={"over": "row"}), "attribute 'eps' is missing"),
        (lambda: with_op(1, of_norms, attributes=ROW | {"over": "edge"}), "over must be 'row', 'graph' or 'all'"),
        (lambda: with_op(1, of_norms, attributes=ROW | {"eps": 0.0}), "eps must be a finite float above 0, got 0.0"),
        (lambda: with_op(1, of_norms, attributes=ROW | {"length": 1}), "length must be true or false, got 1"),
        (lambda: with_op(1, of_norms, attributes=ROW | {"per_column": True}), "per_column does not go with over 'row'"),
        (lambda: with_op(1, of_norms, attributes=ROW | {"eps_beside": True}), "eps_beside does not go with over 'row'"),
        (lambda: with_op(2, of_norms, attributes=GRAPH | {"length": True}), "length does not go with over 'graph'"),
        (lambda: with_op(1, of_norms, tensors={"weight": "w"}), "unknown tensor 'weight'"),
        (lambda: with_value("rows", of_norms, width=3), "needs inputs and output equally wide"),
        (lambda: with_value("rows", of_norms, grid=None), "output 'rows' must be codes"),
        (lambda: with_value("rows", of_norms, domain="graph"), "must live at one place"),
    ],
)
def test_refused_norms(program, sentence):
    with pytest.raises(ProgramError, match=sentence):
        validate(program())


def test_only_nodes_have_graphs():
    program = with_value("codes", of_norms)
    for name in ("rows", "graphs", "unit"):
        program.values[name] = with_value(name, of_norms, domain="graph").values[name]
    with pytest.raises(ProgramError, match=r"op 1 .*must live at one place"):
        validate(program)
