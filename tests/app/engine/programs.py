"""Hand-made programs of every kind for the tests of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.engine.program.check import validate
from app.engine.program.model import INPUT, OUTPUT, IntegerProgram, Op, Value
from tests.app.engine.maker import Maker

MEAN = {"row_scale": "inverse_degree"}
"""The attribute that makes a sum a mean."""


class Draft:
    """A program under construction; every method appends an op and returns the name of its result."""

    def __init__(self, seed, in_features, bits=8):
        self.maker = Maker(seed, bits)
        self.values = {INPUT: Value(INPUT, "node", in_features, None)}
        self.ops, self.constants, self.bits = [], {}, {}

    def emit(self, kind, *inputs, width=None, scale=0.1, signed=True, domain="node", coded=True, grid=None, **parts):
        name = f"{kind}.{len(self.ops)}"
        grid = grid or (self._grid(scale, signed) if coded else None)
        width = width or self.values[inputs[-1]].width
        self.values[name] = Value(name, domain, width, grid)
        tensors = {role: self._constant(f"{name}.{role}", *entry) for role, entry in parts.pop("tensors", {}).items()}
        self.ops.append(Op(kind, inputs, name, tensors, parts.pop("grids", {}), parts))
        return name

    def _grid(self, scale, signed=True):
        """A grid whose range depends little on the bits; a signed one has its zero point near the middle."""
        self.maker.signed = signed
        quarter = 2 ** (self.maker.bits - 3)
        zero_point = int(self.maker.rng.integers(-quarter, quarter)) if signed else 0
        return self.maker.grid(scale * 2.0 ** (8 - self.maker.bits) / 2, zero_point)

    def _constant(self, name, array, bits):
        self.constants[name] = array
        self.bits |= {} if bits is None else {name: bits}
        return name

    def coded(self, shape, scale=0.02):
        grid = self._grid(scale)
        return grid, (self.maker.constant(grid, *shape), grid.bits)

    def linear(self, x, width, bias=True, by_column=False, **attributes):
        grid, weight = self.coded((width, self.values[x].width))
        tensors = {"weight": weight}
        if by_column:
            tensors["scale"] = ((self.maker.rng.uniform(0.5, 2, width) * grid.scale).astype(np.float32), None)
            grid = replace(grid, scale=1.0)
        if bias:
            tensors["bias"] = (self.maker.rng.normal(size=width).astype(np.float32), None)
        added = attributes.pop("added", ())
        return self.emit("linear", x, *added, width=width, tensors=tensors, grids={"weight_grid": grid}, **attributes)

    def relu(self, x, scale=0.1, domain="node"):
        """A lookup onto an unsigned grid."""
        grid, target = self.values[x].grid, self._grid(scale, signed=False)
        r = np.maximum(np.arange(grid.qmin, grid.qmax + 1) - grid.zero_point, 0) * grid.scale
        table = np.clip(np.rint(r / target.scale), 0, target.qmax).astype(np.uint8)
        return self.emit("lookup", x, signed=False, scale=scale, domain=domain, tensors={"table": (table, grid.bits)})

    def onto(self, x, like):
        """A lookup onto the grid of another value."""
        grid, target = self.values[x].grid, self.values[like].grid
        r = (np.arange(grid.qmin, grid.qmax + 1) - grid.zero_point) * grid.scale
        table = np.clip(np.rint(r / target.scale) + target.zero_point, target.qmin, target.qmax)
        entry = table.astype(np.int8 if target.signed else np.uint8), grid.bits
        return self.emit("lookup", x, grid=target, domain=self.values[x].domain, tensors={"table": entry})

    def copy(self, kind, *terms):
        """An op that copies codes of two terms or more: all go to the grid of the first."""
        widths = [self.values[x].width for x in terms]
        width = sum(widths) if kind == "concatenate" else widths[0]
        terms = [terms[0], *(self.onto(x, terms[0]) for x in terms[1:])]
        parts = {"grid": self.values[terms[0]].grid, "domain": self.values[terms[0]].domain}
        return self.emit(kind, *terms, width=width, **parts)

    def weighted_sum(self, weights, x, site, *, self_loops=True, **parts):
        grids = {"message_grid": self._grid(0.05)}
        return self.emit("weighted_sum", weights, x, grids=grids, self_loops=self_loops, message=site, **parts)

    def columns(self, width):
        """The tensors of an epilogue with a folded BatchNorm."""
        return {role: (array, None) for role, array in self.maker.columns(width).items()}

    def edge_norm(self, **attributes):
        edges = {"width": 1, "domain": "edge", "scale": 0.01, "signed": False, "self_loops": True}
        return self.emit("edge_norm", **edges, **attributes)

    def finish_with_floats(self, x):
        """Makes the float32 result of the last op the logits."""
        value = self.values.pop(x)
        self.values[OUTPUT] = Value(OUTPUT, value.domain, value.width, None)
        self.ops[-1] = replace(self.ops[-1], output=OUTPUT)
        program = IntegerProgram(tuple(self.ops), self.values, self.constants, self.bits, {"made": "by hand"})
        validate(program)
        return program

    def finish(self, x, **attributes):
        value = self.values[x]
        self.values[OUTPUT] = Value(OUTPUT, value.domain, value.width, None)
        self.ops.append(Op("dequantize", (x,), OUTPUT, attributes=attributes))
        program = IntegerProgram(tuple(self.ops), self.values, self.constants, self.bits, {"made": "by hand"})
        validate(program)
        return program


def gcn_edge(draft, hidden, classes):
    x = draft.emit("quantize", INPUT)
    for i, width in enumerate((hidden, classes)):
        h = draft.linear(x, width, bias=False)
        h = draft.weighted_sum(draft.edge_norm(), h, f"message{i}")
        bias = {"bias": (draft.maker.rng.normal(size=width).astype(np.float32), None)}
        h = draft.emit("requantize", h, tensors=bias)
        x = draft.relu(h)
    return draft.finish(h)


def gcn_factored(draft, hidden, classes):
    x = draft.emit("quantize", INPUT)
    for i, width in enumerate((hidden, classes)):
        h = draft.linear(x, width, by_column=i == 0, row_scale="inverse_sqrt_degree")
        ends = {"tensors": draft.columns(width)} if i else {}
        h = draft.emit("sum", h, self_loops=True, row_scale="inverse_sqrt_degree", scale=0.2, **ends)
        x = draft.relu(h)
    return draft.finish(h)


def gin(draft, hidden, classes):
    x = draft.emit("quantize", INPUT, signed=False)
    for width in (hidden, classes):
        total = draft.emit("sum", x, scale=0.3)
        h = draft.emit("add", x, total, weights=(1.25, 1.0), scale=0.3)
        h = draft.linear(draft.relu(h, scale=0.4), width, by_column=True)
        x = draft.relu(h)
    return draft.finish(h)


def sage(draft, hidden, classes):
    """The mean over in-neighbours and the node itself, each through a linear layer of its own."""
    x = draft.emit("quantize", INPUT)
    for width in (hidden, classes):
        mean = draft.emit("sum", x, scale=0.03, **MEAN)
        own, others = draft.linear(x, width), draft.linear(mean, width, bias=False)
        x = draft.relu(draft.emit("add", own, others, scale=0.05), scale=0.05)
    return draft.finish(x)


def gat(draft, hidden, classes):
    x = draft.emit("quantize", INPUT)
    for i, (heads, width) in enumerate(((8, 8 * hidden), (3, 3 * classes))):
        h = draft.linear(x, width, bias=False)
        grid, source = draft.coded((heads, width // heads))
        target = (draft.maker.constant(grid, heads, width // heads), grid.bits)
        logits = draft.emit(
            "attention_logits", h, width=heads, domain="edge", self_loops=True,
            tensors={"source": source, "target": target}, grids={"attention_grid": grid},
        )  # fmt: skip
        weights = draft.emit("edge_softmax", logits, domain="edge", coded=False, negative_slope=0.2, self_loops=True)
        h = draft.weighted_sum(weights, h, f"message{i}")
        if i:
            h = draft.emit("requantize", h, width=classes, heads=heads, scale=0.05)
        x = draft.relu(h)
    return draft.finish(h)


def gcn_weighted(draft, hidden, classes):
    """Weights of edges as they are and in the normalized adjacency; added self-loops of other weights than 1."""
    h = draft.linear(draft.emit("quantize", INPUT), hidden, bias=False)
    ends = {"tensors": draft.columns(hidden)}
    h = draft.weighted_sum(draft.edge_norm(weighted=True, loop_weight=2.0), h, "message0", **ends)
    h = draft.linear(draft.relu(h), classes, bias=False)
    weights = draft.emit("edge_weight", width=1, domain="edge", scale=0.04)
    h = draft.weighted_sum(weights, h, "message1", self_loops=False)
    return draft.finish(draft.weighted_sum(draft.edge_norm(loop_weight=0.5), h, "message2"))


def graph_gin(draft, hidden, classes):
    """BatchNorm folded into a requantize, a residual sum, a head for each of three layers."""
    rng = draft.maker.rng
    x = draft.linear(draft.emit("quantize", INPUT), hidden)
    heads = [
        draft.linear(
            draft.emit("pool", x, domain="graph", grid=draft.values[x].grid, reduce="max"), classes, domain="graph"
        )
    ]
    for i in range(3):
        pooled = draft.emit("pool", x, domain="graph", scale=0.4, **({} if i % 2 else MEAN))
        heads.append(draft.linear(pooled, classes, domain="graph"))
        h = draft.linear(draft.emit("add", x, draft.emit("sum", x, scale=0.3), scale=0.3), hidden)
        norm = {role: (rng.normal(1, 0.5, size=hidden).astype(np.float32), None) for role in ("scale", "bias")}
        h = draft.emit("requantize", h, tensors=norm, signed=False)
        x = draft.emit("add", x, h)
    return draft.finish(draft.emit("add", *heads, domain="graph", scale=0.3), function="sigmoid")


def readout(draft, hidden, classes):
    """Sums over graphs that are multiplied as they are, and logits that are not rounded."""
    x, y = draft.linear(draft.emit("quantize", INPUT), hidden), ()
    for i in range(3):
        x = draft.emit("add", x, draft.emit("sum", x, scale=0.3), scale=0.3)
        pooled = {"domain": "graph", "pooled": True, "by_column": i == 1, **(MEAN if i % 2 else {})}
        h = draft.relu(draft.linear(x, hidden, scale=0.4, **pooled), scale=0.4, domain="graph")
        y = (draft.linear(h, classes, domain="graph", coded=False, added=y),)
        y = (draft.linear(x, classes, coded=False, added=y, **pooled),)
    return draft.finish_with_floats(*y)


def gat2(draft, hidden, classes):
    """Attention whose non-linearity comes before the attention vector, without and with self-loops."""
    x = draft.emit("quantize", INPUT)
    for i, (heads, width) in enumerate(((8, 8 * hidden), (1, classes))):
        source, target = draft.linear(x, width, bias=False, scale=0.4), draft.linear(x, width, scale=0.4)
        grid, attention = draft.coded((heads, width // heads))
        logits = draft.emit(
            "dynamic_attention_logits", source, draft.onto(target, source), width=heads, domain="edge",
            tensors={"attention": attention}, grids={"attention_grid": grid}, negative_slope=0.2, self_loops=i > 0,
        )  # fmt: skip
        weights = draft.emit("edge_softmax", logits, domain="edge", coded=False, negative_slope=1.0, self_loops=i > 0)
        ends = {} if i else {"tensors": draft.columns(width)}
        x = draft.relu(draft.weighted_sum(weights, source, f"message{i}", self_loops=i > 0, **ends))
    return draft.finish(x)


def jump(draft, hidden, classes):
    """Maxima over in-neighbours; behind them jumping knowledge, the maximum of all layers and all side by side."""
    layers = [draft.relu(draft.linear(draft.emit("quantize", INPUT), hidden))]
    for _ in range(2):
        h = draft.linear(layers[-1], hidden)
        largest = draft.emit("neighbour_max", h, grid=draft.values[h].grid, self_loops=True)
        layers.append(draft.relu(draft.emit("add", h, largest, scale=0.2)))
    together = draft.copy("concatenate", draft.copy("maximum", *layers), *layers)
    return draft.finish(draft.linear(together, classes), function="log_softmax")


def normed(draft, hidden, classes):
    """Rows normalised by themselves, by the columns of their graph, by all rows, and to length one; read out."""

    def floats(*roles):
        return {role: (draft.maker.rng.normal(1, 0.5, hidden).astype(np.float32), None) for role in roles}

    x = draft.linear(draft.emit("quantize", INPUT), hidden)
    x = draft.emit("normalize", x, over="row", eps=1e-5, tensors=floats("scale"), scale=0.03)
    settings = {"over": "graph", "eps": 1e-3, "per_column": True}
    h = draft.emit("normalize", x, tensors=floats("scale", "bias", "mean_scale"), scale=0.03, **settings)
    h = draft.emit("normalize", draft.emit("add", x, draft.emit("sum", h)), over="all", eps=0.1, eps_beside=True)
    h = draft.emit("normalize", draft.linear(h, hidden), over="row", eps=1e-12, length=True, scale=0.01)
    pooled = draft.emit("pool", h, domain="graph", scale=0.02, **MEAN)
    pooled = draft.emit("normalize", pooled, domain="graph", over="row", eps=1e-5)
    return draft.finish(draft.linear(pooled, classes, domain="graph"))


NODE_PROGRAMS = {
    "gcn_edge": gcn_edge,
    "gcn_factored": gcn_factored,
    "gin": gin,
    "sage": sage,
    "gat": gat,
    "gat2": gat2,
    "jump": jump,
}
PROGRAMS = {**NODE_PROGRAMS, "graph_gin": graph_gin, "readout": readout, "normed": normed}
WEIGHTED_PROGRAMS = {"gcn_weighted": gcn_weighted}
"""Those that read weights of edges."""
