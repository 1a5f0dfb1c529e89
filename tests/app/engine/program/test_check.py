"""What `validate` refuses, one fault at a time, and that it refuses nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.engine.program.check import ProgramError, validate
from app.engine.program.grid import SMALLEST_SCALE
from app.engine.program.model import IntegerProgram, Op, Value
from app.engine.program.rules import LARGEST_NUMBER, RULES
from tests.app.engine.program.examples import (
    GRID,
    of_copies,
    of_graphs,
    of_norms,
    of_raw,
    of_weights,
    whole,
    with_constant,
    with_grid,
    with_ids,
    with_op,
    with_value,
)


def test_every_kind_is_accepted_and_meant():
    validate(whole())
    validate(of_graphs())
    validate(of_copies())
    validate(of_norms())
    validate(of_raw())
    validate(of_weights())
    programs = (whole, of_graphs, of_copies, of_weights, of_norms, of_raw)
    assert {op.kind for program in programs for op in program().ops} == set(RULES)


@pytest.mark.parametrize(("program", "reads"), [(whole, False), (of_weights, True)])
def test_which_programs_read_weights_of_edges(program, reads):
    assert program().reads_edge_weights == reads


def test_float32_ids_can_name_every_row_of_an_embedding():
    validate(with_ids(2**24))
    with pytest.raises(ProgramError, match=r"op 0 \(embedding\): table 'table' has more than the 16777216 rows"):
        validate(with_ids(2**24 + 1))


@pytest.mark.parametrize("scale", [float(np.float32(SMALLEST_SCALE)), LARGEST_NUMBER])
def test_extreme_scales_are_accepted(scale):
    validate(with_grid(scale=scale))


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        # grids
        (lambda: with_grid(bits=1), "value 'h': bits must be 2 to 8, got 1"),
        (lambda: with_grid(bits=True), "value 'h': bits must be 2 to 8, got True"),
        (lambda: with_grid(signed=1), "value 'h': signed must be true or false, got 1"),
        (lambda: with_grid(scale=0.0), "value 'h': scale must be a float from"),
        (lambda: with_grid(scale=-1.0), "value 'h': scale must be a float from"),
        (lambda: with_grid(scale=float("nan")), "value 'h': scale must be a float from"),
        (lambda: with_grid(scale=1e12), "value 'h': scale must be a float from"),
        (lambda: with_grid(scale=1), "value 'h': scale must be a float from .* got 1$"),
        (lambda: with_grid(zero_point=128), "value 'h': zero_point must be an int from -128 to 127, got 128"),
        (lambda: with_grid(zero_point=0.0), "value 'h': zero_point must be an int"),
        (
            lambda: with_op(2, grids={"weight_grid": replace(GRID, bits=9)}),
            r"op 2 \(linear\): weight_grid: bits must be 2 to 8, got 9",
        ),
        # values
        (lambda: with_value("h", name="g"), "value 'h' is listed under another name"),
        (lambda: with_value("h", domain="moon"), "value 'h': unknown domain 'moon'"),
        (lambda: with_value("h", width=0), "value 'h': width must be a positive int, got 0"),
        (lambda: with_value("h", width=2**31), "value 'h': width is more than 2147483647"),
        (lambda: with_value("x", grid=GRID), "value 'x' must be float32"),
        (lambda: with_value("logits", domain="edge"), "value 'logits' must live on nodes or graphs, not on edges"),
        (
            lambda: replace(whole(), values={**whole().values, "spare": Value("spare", "node", 1, GRID)}),
            "value 'spare': no op writes it",
        ),
        (lambda: replace(whole(), ops=()), "value 'codes': no op writes it"),
        (
            lambda: replace(whole(), values={k: v for k, v in whole().values.items() if k != "x"}),
            "value 'x' is missing",
        ),
        # constants
        (lambda: with_constant("w", np.ones((4, 3))), "constant 'w': dtype must be .* got float64"),
        (
            lambda: with_constant("w", np.ones((4, 3), np.int8), w=1),
            "constant 'w': bits must be 2 to 8, got 1",
        ),
        (lambda: with_constant("v", np.ones(3, np.int8)), "constant 'v': bits must be 2 to 8, got None"),
        (lambda: with_constant("b", np.ones(4, np.float32), b=8), "constant 'b': float32 has no bits, got 8"),
        (lambda: with_constant("b", np.full(4, np.nan, np.float32)), "'b' holds a number that is not finite"),
        (lambda: with_constant("b", np.full(4, 1e12, np.float32)), "'b' holds a number that is not finite"),
        (lambda: with_constant("b", np.float32(1)), "constant 'b' is empty or a scalar"),
        (lambda: with_constant("b", np.empty(0, np.float32)), "constant 'b' is empty or a scalar"),
        (lambda: with_constant("w", np.full((4, 3), 8, np.int8), w=4), r"outside its 4 bits, \[-8, 7\]"),
        (
            lambda: with_constant("w", np.full((4, 3), 8, np.int8), spare=4),
            "bits: there is no constant 'spare'",
        ),
        (lambda: with_constant("__metadata__", np.ones(1, np.float32)), "this name is not free to use"),
        # ops
        (lambda: with_op(3, kind="conv"), r"op 3 \(conv\): unknown kind of op"),
        (lambda: with_op(3, inputs=()), r"op 3 \(requantize\): takes 1 inputs, got 0"),
        (lambda: with_op(3, inputs=("nope",)), r"op 3 \(requantize\): value 'nope' is missing"),
        (lambda: with_op(3, output="nope"), r"op 3 \(requantize\): value 'nope' is missing"),
        (lambda: with_op(3, inputs=("total",)), "value 'total' is read before it is written"),
        (lambda: with_op(3, output="h"), "value 'h' is written twice"),
        (lambda: with_op(3, output="x"), "value 'x' is written twice"),
        (lambda: with_op(4, inputs=("x",)), r"op 4 \(sum\): input 'x' must be codes"),
        (lambda: with_op(10, inputs=("h", "g")), "input 'h' must live on edges, not on nodes"),
        (lambda: with_value("soft", grid=GRID), "output 'soft' must be float32"),
        (lambda: with_value("h", domain="edge"), "inputs and output 'h' must live at one place"),
        (lambda: with_value("looked", domain="edge"), "inputs and output 'looked' must live at one place"),
        # graphs
        (lambda: with_value("x", of_graphs, domain="graph"), "value 'x' must live on nodes, not on graphs"),
        (lambda: with_value("x", of_graphs, width=2), r"op 0 \(embedding\): needs an input of width 1"),
        (lambda: with_op(0, of_graphs, tensors={"table": "map"}), r"table 'map' must have shape \(256, 4\)"),
        (lambda: with_op(0, of_graphs, tensors={"table": "b"}), r"table 'b' must have shape \(4, 4\)"),
        (lambda: with_op(1, of_graphs, tensors={"scale": "w"}), r"scale 'w' must have shape \(4,\)"),
        (lambda: with_value("pooled", of_graphs, domain="node"), "output 'pooled' must live on graphs, not on nodes"),
        (
            lambda: with_op(2, of_graphs, attributes={"row_scale": "inverse_sqrt_degree"}),
            "row_scale must be 'inverse_degree', got 'inverse_sqrt_degree'",
        ),
        (
            lambda: with_op(4, of_graphs, attributes={"row_scale": "inverse_sqrt_degree"}),
            "row_scale is for rows of nodes",
        ),
        (lambda: with_op(6, of_graphs, inputs=("head",)), r"op 6 \(add\): takes 2 inputs or more, got 1"),
        (lambda: with_op(6, of_graphs, inputs=("head", "other")), r"op 6 \(add\): 3 weights for 2 inputs"),
        (lambda: with_op(6, of_graphs, inputs=("head", "rows", "total")), "'scores' must live at one place"),
        # widths
        (lambda: with_value("codes", width=2), r"op 0 \(quantize\): needs inputs and output equally wide"),
        (lambda: with_value("norm", width=2), "needs an output of width 1"),
        (lambda: with_value("alpha", width=3), "needs an output width that divides the input's"),
        (
            lambda: with_value("out", width=3),
            "needs an output as wide as x, and as many weights as divide it",
        ),
        # attributes, grids, tensors
        (lambda: with_op(4, attributes={"loops": True}), r"op 4 \(sum\): unknown attribute 'loops'"),
        (lambda: with_op(4, attributes={"self_loops": 1}), "self_loops must be true or false, got 1"),
        (lambda: with_op(4, attributes={"row_scale": "degree"}), "must be 'inverse_sqrt_degree' or 'inverse_degree'"),
        (
            lambda: with_op(2, attributes={"row_scale": "inverse_degree"}),
            r"op 2 \(linear\): row_scale inverse_degree is for what is pooled, and no other is",
        ),
        (
            lambda: with_op(2, attributes={"row_scale": "inverse_sqrt_degree", "pooled": True}),
            r"op 2 \(linear\): row_scale inverse_degree is for what is pooled, and no other is",
        ),
        (lambda: with_op(2, attributes={"pooled": False}), r"op 2 \(linear\): pooled must be true, got False"),
        (lambda: with_op(2, attributes={"pooled": True}), "inputs and output 'h' must live at one place"),
        (lambda: with_op(5, attributes={"weights": (1.0,)}), r"op 5 \(add\): 1 weights for 2 inputs"),
        (lambda: with_op(5, attributes={"weights": (1.0, 1e12)}), "weights must be finite floats"),
        (lambda: with_op(9, attributes={"self_loops": True}), "attribute 'negative_slope' is missing"),
        (lambda: with_op(9, attributes={"negative_slope": 0.2}), "self_loops differs"),
        (lambda: with_op(9, attributes={"negative_slope": -0.2, "self_loops": True}), "a finite float of at least 0"),
        (
            lambda: with_op(10, attributes={}),
            "self_loops differs from that of the op that wrote its edge input",
        ),
        (
            lambda: with_op(10, attributes={"self_loops": True, "message": "h"}),
            "message site 'h' has the name",
        ),
        (
            lambda: with_op(10, attributes={"self_loops": True, "message": "m"}),
            "message site 'm' has the name",
        ),
        (
            lambda: with_op(11, attributes={"function": "relu"}),
            r"op 11 \(dequantize\): function must be 'log_softmax', 'softmax' or 'sigmoid', got 'relu'",
        ),
        (lambda: with_op(11, attributes={"function": None}), r"op 11 \(dequantize\): function must be .* got None"),
        (lambda: with_op(3, attributes={"heads": 2}), r"equally wide for each of 2 heads, got \[4\] -> 4"),
        (
            lambda: with_op(3, attributes={"heads": 1}),
            r"op 3 \(requantize\): heads must be a whole number above 1, got 1",
        ),
        (lambda: with_op(3, attributes={"heads": True}), "heads must be a whole number above 1, got True"),
        (lambda: with_op(3, attributes={"heads": "2"}), "heads must be a whole number above 1, got '2'"),
        (
            lambda: with_op(1, of_weights, attributes={"self_loops": True}),
            r"op 1 \(edge_weight\): self_loops must be false: only given edges have weights, got True",
        ),
        (lambda: with_op(1, of_weights, attributes={"weighted": True}), "unknown attribute 'weighted'"),
        (lambda: with_value("weights", of_weights, width=2), r"op 1 \(edge_weight\): needs an output of width 1"),
        (lambda: with_op(2, of_weights, attributes={"self_loops": True}), r"op 2 \(weighted_sum\): self_loops differs"),
        (lambda: with_op(3, of_weights, attributes={"weighted": 1}), "weighted must be true or false, got 1"),
        (lambda: with_op(3, of_weights, attributes={"loop_weight": 2}), "loop_weight must be a finite float, got 2"),
        (lambda: with_op(3, of_weights, attributes={"loop_weight": np.inf}), "loop_weight must be a finite float"),
        (
            lambda: with_op(3, of_weights, attributes={"loop_weight": 2.0}),
            r"op 3 \(edge_norm\): loop_weight is for self-loops, which this op does not add",
        ),
        (lambda: with_op(12, inputs=("g",)), r"op 12 \(dynamic_attention_logits\): takes 2 inputs, got 1"),
        (lambda: with_op(12, inputs=("g", "alpha")), "input 'alpha' must live on nodes, not on edges"),
        (
            lambda: with_op(12, inputs=("g", "looked")),
            r"needs inputs equally wide and an output width that divides theirs, got \[4, 3\] -> 2",
        ),
        (lambda: with_value("beta", width=3), "equally wide and an output width that divides theirs"),
        (
            lambda: with_value("g", grid=replace(GRID, zero_point=1)),
            r"op 12 \(dynamic_attention_logits\): inputs must lie on exactly one grid",
        ),
        (lambda: with_op(12, attributes={"self_loops": True}), r"op 12 .*attribute 'negative_slope' is missing"),
        (lambda: with_op(12, tensors={"attention": "w"}), r"attention 'w' must have shape \(2, 2\), got \(4, 3\)"),
        (lambda: with_op(2, grids={}), r"op 2 \(linear\): needs grids \['weight_grid'\], got \[\]"),
        (lambda: with_op(2, tensors={"bias": "b"}), r"op 2 \(linear\): tensor 'weight' is missing"),
        (lambda: with_op(2, tensors={"weight": "w", "zero": "b"}), "unknown tensor 'zero'"),
        (
            lambda: with_op(2, tensors={"weight": "w", "scale": "b"}),
            r"op 2 \(linear\): a scale a column takes the place of that of weight_grid, 1.0",
        ),
        (lambda: with_op(2, tensors={"weight": "nope"}), "constant 'nope' is missing"),
        (lambda: with_op(2, tensors={"weight": "s"}), r"weight 's' must have shape \(4, 3\), got \(2, 2\)"),
        (lambda: with_constant("table", np.zeros(16, np.int8)), r"table 'table' must have shape \(256,\)"),
        (
            lambda: with_constant("w", np.ones((4, 3), np.uint8)),
            "weight 'w' does not have the dtype and bits of its grid",
        ),
        (
            lambda: with_constant("w", np.ones((4, 3), np.int8), w=4),
            "weight 'w' does not have the dtype and bits of its grid",
        ),
        (lambda: with_op(2, tensors={"weight": "w", "bias": "c"}), "constant 'c' is missing"),
    ],
)
def test_refused_programs(program, sentence):
    with pytest.raises(ProgramError, match=sentence):
        validate(program())


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("logits", {"width": 3}, r"op 3 \(linear\): one more input goes with a float32 output as wide, which 'logits'"),
        ("partly", {"domain": "node"}, r"op 2 \(linear\): inputs and output 'partly' must live at one place"),
        ("partly", {"grid": GRID}, r"op 3 \(linear\): input 'partly' must be float32"),
    ],
)
def test_what_is_added_to_logits_is_as_they_are(name, change, sentence):
    pooled = {"tensors": {"weight": "w"}, "grids": {"weight_grid": GRID}, "attributes": {"pooled": True}}
    ops = (
        Op("quantize", ("x",), "c"),
        Op("pool", ("c",), "p"),
        Op("linear", ("c",), "partly", **pooled),
        Op("linear", ("c", "partly"), "logits", **pooled),
    )
    of_nodes, of_graphs = Value("x", "node", 3, None), Value("logits", "graph", 2, None)
    values = {"x": of_nodes, "c": replace(of_nodes, name="c", grid=GRID), "p": Value("p", "graph", 3, GRID)}
    values |= {"partly": replace(of_graphs, name="partly"), "logits": of_graphs}
    program = IntegerProgram(ops, values, {"w": np.ones((2, 3), np.int8)}, {"w": 8}, {})
    validate(program)
    with pytest.raises(ProgramError, match=sentence):
        validate(replace(program, values={**values, name: replace(values[name], **change)}))


def test_absent_options_are_accepted():
    validate(with_op(3, tensors={}))
    validate(with_op(4, attributes={}))
    validate(with_op(5, attributes={}))


@pytest.mark.parametrize("self_loops", [True, False])
def test_an_edge_value_moved_to_another_grid_stays_on_its_edges(self_loops):
    program = whole()
    moved = replace(program.values["norm"], name="moved")
    step = Op("requantize", ("norm",), "moved")
    consumer = replace(program.ops[7], inputs=("moved", "added"), attributes={"self_loops": self_loops})
    ops = (*program.ops[:7], step, consumer, *program.ops[8:])
    program = replace(program, ops=ops, values={**program.values, "moved": moved})
    if self_loops:
        validate(program)
    else:
        with pytest.raises(ProgramError, match=r"op 8 \(weighted_sum\): self_loops differs"):
            validate(program)
