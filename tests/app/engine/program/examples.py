"""Programs with every kind of op for the tests of the check, and the same with one thing changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.engine.program.grid import Grid
from app.engine.program.model import IntegerProgram, Op, Value

GRID = Grid(0.5, 0, 8, True)


def whole():
    """A program with every kind of op."""
    grids = {"attention_grid": GRID}
    ops = (
        Op("quantize", ("x",), "codes"),
        Op("lookup", ("codes",), "looked", {"table": "table"}),
        Op("linear", ("looked",), "h", {"weight": "w", "bias": "b"}, {"weight_grid": GRID}),
        Op("requantize", ("h",), "shifted", {"bias": "b"}),
        Op("sum", ("shifted",), "total", {}, {}, {"self_loops": True, "row_scale": "inverse_sqrt_degree"}),
        Op("add", ("shifted", "total"), "added", {}, {}, {"weights": (1.0, 2.0)}),
        Op("edge_norm", (), "norm", {}, {}, {"self_loops": True}),
        Op(
            "weighted_sum",
            ("norm", "added"),
            "g",
            {},
            {"message_grid": GRID},
            {"self_loops": True, "message": "m"},
        ),
        Op("attention_logits", ("g",), "alpha", {"source": "s", "target": "t"}, grids, {"self_loops": True}),
        Op("edge_softmax", ("alpha",), "soft", {}, {}, {"negative_slope": 0.2, "self_loops": True}),
        Op("weighted_sum", ("soft", "g"), "out", {}, {"message_grid": GRID}, {"self_loops": True}),
        Op("dequantize", ("out",), "logits"),
        Op(
            "dynamic_attention_logits",
            ("g", "added"),
            "beta",
            {"attention": "s"},
            grids,
            {"self_loops": True, "negative_slope": 0.2},
        ),
    )
    widths = {"x": 3, "codes": 3, "looked": 3, "norm": 1, "alpha": 2, "beta": 2, "soft": 2}
    floats = ("x", "soft", "logits")
    names = ["x", *(op.output for op in ops)]
    values = {
        name: Value(
            name,
            "edge" if name in ("norm", "alpha", "beta", "soft") else "node",
            widths.get(name, 4),
            None if name in floats else GRID,
        )
        for name in names
    }
    constants = {
        "table": np.zeros(256, np.int8),
        "w": np.ones((4, 3), np.int8),
        "b": np.zeros(4, np.float32),
        "s": np.ones((2, 2), np.int8),
        "t": np.ones((2, 2), np.int8),
    }
    return IntegerProgram(ops, values, constants, {"table": 8, "w": 8, "s": 8, "t": 8}, {})


def of_graphs():
    """A program of the ops that whole graphs need."""
    table = {"weight": "w", "bias": "b"}
    ops = (
        Op("embedding", ("x",), "rows", {"table": "table"}),
        Op("requantize", ("rows",), "normed", {"scale": "b", "bias": "b"}),
        Op("pool", ("normed",), "pooled", {}, {}, {"row_scale": "inverse_degree"}),
        Op("pool", ("rows",), "total"),
        Op("linear", ("pooled",), "head", table, {"weight_grid": GRID}),
        Op("lookup", ("head",), "other", {"table": "map"}),
        Op("add", ("head", "other", "total"), "scores", {}, {}, {"weights": (1.0, 2.0, 0.5)}),
        Op("dequantize", ("scores",), "logits"),
    )
    domains = {"x": "node", "rows": "node", "normed": "node"}
    values = {
        name: Value(
            name, domains.get(name, "graph"), 1 if name == "x" else 4, None if name in ("x", "logits") else GRID
        )
        for name in ("x", *(op.output for op in ops))
    }
    constants = {
        "table": np.ones((9, 4), np.int8),
        "map": np.zeros(256, np.int8),
        "w": np.ones((4, 4), np.int8),
        "b": np.ones(4, np.float32),
    }
    return IntegerProgram(ops, values, constants, {"table": 8, "map": 8, "w": 8}, {})


def of_copies():
    """A program of the ops that copy codes, all on one grid."""
    ops = (
        Op("quantize", ("x",), "codes"),
        Op("requantize", ("codes",), "others"),
        Op("maximum", ("codes", "others", "codes"), "largest"),
        Op("concatenate", ("largest", "codes", "others"), "together"),
        Op("neighbour_max", ("together",), "received", {}, {}, {"self_loops": True}),
        Op("pool", ("received",), "pooled", {}, {}, {"reduce": "max"}),
        Op("dequantize", ("pooled",), "logits"),
    )
    names, narrow = ["x", *(op.output for op in ops)], ("x", "codes", "others", "largest")
    domains = {op.output: "graph" for op in ops[-2:]}
    values = {
        name: Value(
            name, domains.get(name, "node"), 4 if name in narrow else 12, None if name in ("x", "logits") else GRID
        )
        for name in names
    }
    return IntegerProgram(ops, values, {}, {}, {})


def of_raw():
    """A program that prepares its features."""
    ops = (
        Op("row_normalize", ("x",), "shares"),
        Op("standardize", ("shares",), "scaled", {}, {}, {"mean": (0.5,) * 4, "deviation": (2.0,) * 4}),
        Op("in_degree", (), "degrees"),
        Op("quantize", ("scaled",), "codes"),
        Op("quantize", ("degrees",), "counts"),
        Op("concatenate", ("codes", "counts"), "together"),
        Op("dequantize", ("together",), "logits"),
    )
    widths = {"degrees": 1, "counts": 1, "together": 5, "logits": 5}
    names, coded = ("x", *(op.output for op in ops)), ("codes", "counts", "together")
    values = {name: Value(name, "node", widths.get(name, 4), GRID if name in coded else None) for name in names}
    return IntegerProgram(ops, values, {}, {}, {})


def of_weights():
    """A program of the ops that read weights of edges."""
    grids = {"message_grid": GRID}
    ops = (
        Op("quantize", ("x",), "codes"),
        Op("edge_weight", (), "weights", {}, {}, {"self_loops": False}),
        Op("weighted_sum", ("weights", "codes"), "summed", {}, grids),
        Op("edge_norm", (), "norm", {}, {}, {"self_loops": True, "weighted": True, "loop_weight": 2.0}),
        Op("weighted_sum", ("norm", "summed"), "out", {}, grids, {"self_loops": True}),
        Op("dequantize", ("out",), "logits"),
    )
    of_edges, floats = ("weights", "norm"), ("x", "logits")
    values = {
        name: Value(
            name, "edge" if name in of_edges else "node", 1 if name in of_edges else 4, None if name in floats else GRID
        )
        for name in ("x", *(op.output for op in ops))
    }
    return IntegerProgram(ops, values, {}, {}, {})


def of_norms():
    """A program of rows that are normalised."""
    ops = (
        Op("quantize", ("x",), "codes"),
        Op("normalize", ("codes",), "rows", {"scale": "w", "bias": "w"}, {}, {"over": "row", "eps": 1e-5}),
        Op(
            "normalize",
            ("rows",),
            "graphs",
            {"mean_scale": "w"},
            {},
            {"over": "graph", "eps": 1e-5, "per_column": True, "eps_beside": True},
        ),
        Op("normalize", ("graphs",), "unit", {}, {}, {"over": "row", "eps": 1e-12, "length": True}),
        Op("dequantize", ("unit",), "logits"),
    )
    values = {
        name: Value(name, "node", 4, None if name in ("x", "logits") else GRID)
        for name in ("x", *(op.output for op in ops))
    }
    return IntegerProgram(ops, values, {"w": np.ones(4, np.float32)}, {}, {})


def with_op(number, program=whole, **changes):
    ops = list(program().ops)
    ops[number] = replace(ops[number], **changes)
    return replace(program(), ops=tuple(ops))


def with_value(name, /, program=whole, **changes):
    program = program()
    return replace(program, values={**program.values, name: replace(program.values[name], **changes)})


def with_constant(name, array, **bits):
    program = whole()
    return replace(program, constants={**program.constants, name: array}, bits={**program.bits, **bits})


def with_ids(number):
    table = np.broadcast_to(np.int8(0), (number, 4))
    return replace(of_graphs(), constants={**of_graphs().constants, "table": table})


def with_grid(**changes):
    return with_value("h", grid=replace(GRID, **changes))
