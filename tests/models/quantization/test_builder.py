"""The builder of integer programs: names, constants, and what it defers to the next quantize."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine import Executable
from models.layers.graph import Graph
from models.quantization.builder import PlaceOfTerm, ProgramBuilder
from models.quantization.sites import Sites


@pytest.fixture
def site(make_scheme):
    """site("inputs", lo, hi) -> a site of 4 bits that knows its range."""

    def build(role, lo=-1.0, hi=1.0, *, signed=True, domain="node", path="layer."):
        site = Sites(make_scheme("qat", 4), path)(role, domain, signed=signed)
        site.observer.range.copy_(torch.tensor([lo, hi]))
        return site

    return build


@pytest.fixture
def builder():
    return ProgramBuilder(5)


def test_float_input_is_quantized_onto_the_grid_of_the_site(builder, site):
    inputs = site("inputs")
    x = builder.quantize(builder.input, inputs)
    assert (x.value.name, x.value.width, x.grid) == ("layer.inputs", 5, inputs.grid())
    assert [op.kind for op in builder.ops] == ["quantize"]


@pytest.mark.parametrize("function", [None, torch.relu, torch.nn.functional.elu])
def test_codes_move_to_another_grid_by_a_table_with_the_deferred_activation(builder, site, function):
    x = builder.quantize(builder.input, site("inputs"))
    after = site("activated", -0.3, 0.9)
    builder.quantize(builder.activation(x, function) if function else x, after)
    grid = x.grid
    values = (torch.arange(grid.qmin, grid.qmax + 1) - grid.zero_point) * torch.tensor(grid.scale)
    expected = after.codes(function(values) if function else values)
    assert builder.constants["layer.activated.table"].tolist() == expected.tolist()


def test_an_affine_map_after_a_relu_applies_the_relu_on_its_grid_first(builder, site):
    x = builder.quantize(builder.input, site("inputs"))
    scaled = builder.affine(builder.activation(x, torch.relu), torch.full((5,), 2.0), torch.ones(5))
    builder.quantize(scaled, site("normalized", -3.0, 3.0))
    assert [op.kind for op in builder.ops] == ["quantize", "lookup", "requantize"]
    zero = x.grid.zero_point
    assert builder.constants["layer.inputs.rectified.table"].min() == zero


def test_a_relu_after_an_affine_map_is_the_clamp_of_a_grid_that_begins_at_zero(builder, site):
    x = builder.quantize(builder.input, site("inputs"))
    scaled = builder.activation(builder.affine(x, torch.ones(5), torch.zeros(5)), torch.relu)
    builder.quantize(scaled, site("normalized", 0.0, 2.0, signed=False))
    assert [op.kind for op in builder.ops] == ["quantize", "requantize"]
    with pytest.raises(AssertionError, match="its clamp is not the ReLU"):
        builder.quantize(scaled, site("residual"))


def test_only_one_activation_can_be_deferred(builder, site):
    x = builder.activation(builder.quantize(builder.input, site("inputs")), torch.relu)
    with pytest.raises(AssertionError, match="already waiting"):
        builder.activation(x, torch.relu)


def test_ops_refuse_inputs_with_something_deferred(builder, site):
    x = builder.activation(builder.quantize(builder.input, site("inputs")), torch.relu)
    with pytest.raises(AssertionError, match="still waits"):
        builder.quantize(builder.requantize(x, None), site("update"))


def test_two_values_with_one_name_are_refused(builder, site):
    builder.quantize(builder.input, site("inputs"))
    with pytest.raises(AssertionError, match=r"two values are called layer\.inputs"):
        builder.quantize(builder.input, site("inputs"))


def test_a_bias_is_a_float32_constant_named_after_the_site(builder, site):
    x = builder.quantize(builder.input, site("inputs"))
    builder.quantize(builder.requantize(x, None), site("aggregate"))
    builder.quantize(builder.requantize(x, torch.arange(5.0)), site("update"))
    assert [op.tensors for op in builder.ops[1:]] == [{}, {"bias": "layer.update.bias"}]
    np.testing.assert_array_equal(builder.constants["layer.update.bias"], np.arange(5, dtype=np.float32))


def test_terms_of_a_concatenation_are_brought_onto_its_grid_first(builder, site):
    """Each with what waits for it, from any grid, from float32, or of another op that waits."""
    x, inputs = builder.quantize(builder.input, site("inputs")), site("normalized", -3.0, 3.0)
    scaled = builder.affine(x, torch.full((5,), 2.0), torch.ones(5))
    largest = builder.maximum(builder.activation(x, torch.tanh), scaled)
    got = builder.quantize(builder.concatenate(builder.input, largest, builder.add(x, x)), inputs)
    assert (got.value.name, got.width, got.domain, got.grid) == ("layer.normalized", 15, "node", inputs.grid())
    ops = {op.output.removeprefix("layer.normalized"): (op.kind, len(op.inputs)) for op in builder.ops[1:]}
    assert ops == {
        ".0": ("quantize", 1),
        ".1.0": ("lookup", 1),
        ".1.1": ("requantize", 1),
        ".1": ("maximum", 2),
        ".2": ("add", 2),
        "": ("concatenate", 3),
    }
    assert {builder.values[op.output].grid for op in builder.ops[1:]} == {inputs.grid()}
    grid = x.grid
    values = (torch.arange(grid.qmin, grid.qmax + 1) - grid.zero_point) * torch.tensor(grid.scale)
    expected = inputs.codes(values.tanh())
    assert builder.constants["layer.normalized.1.0.table"].tolist() == expected.tolist()


@pytest.mark.parametrize("join", ["concatenate", "maximum"])
def test_rounding_before_a_copy_is_rounding_after_it(builder, site, join):
    """The program of relu(x), x and tanh(x) against the sites in torch."""
    inputs, joined = site("inputs"), site("normalized", -0.7, 0.9)
    x = builder.quantize(builder.input, inputs)
    functions = [torch.relu, torch.clone, torch.tanh]
    builder.dequantize(
        builder.quantize(getattr(builder, join)(*(builder.activation(x, function) for function in functions)), joined)
    )
    rows = torch.randn(50, 5)
    on_grid = inputs.eval()(rows)
    terms = [function(on_grid) for function in functions]
    together = torch.cat(terms, 1) if join == "concatenate" else torch.stack(terms).amax(0)
    got = Executable(builder.finish({})).run(rows.numpy(), np.zeros((2, 0), int))
    np.testing.assert_array_equal(got, joined.eval()(together).numpy())


def test_a_largest_row_is_rounded_before_it_is_found(builder, site):
    """Of tanh(x), over neighbours and over graphs: the program against torch, also where nothing enters."""
    inputs, received, pooled = site("inputs"), site("aggregate", -0.7, 0.9), site("scores", -0.4, 0.6, domain="graph")
    x = builder.activation(builder.quantize(builder.input, inputs), torch.tanh)
    builder.dequantize(builder.quantize(builder.pool(builder.neighbour_max(x, received), "max"), pooled))
    kinds = [(op.kind, op.output.removeprefix("layer.")) for op in builder.ops[1:]]
    assert kinds == [
        ("lookup", "aggregate.0"), ("neighbour_max", "aggregate"), ("lookup", "scores.0"), ("pool", "scores"),
        ("dequantize", "logits"),
    ]  # fmt: skip
    rows, edges, batch = torch.randn(50, 5), torch.randint(50, (2, 60)), torch.randint(4, (50,))
    values = inputs.eval()(rows).tanh()
    of_neighbours = torch.stack([received.eval()(largest(values[edges[0, edges[1] == i]])) for i in range(50)])
    expected = torch.stack([pooled.eval()(largest(of_neighbours[batch == g])) for g in range(5)])
    got = Executable(builder.finish({})).run(rows.numpy(), edges, batch, 5)
    np.testing.assert_array_equal(got, expected.numpy())


def largest(rows):
    """The largest row entry by entry; zeros of none."""
    return rows.amax(0) if len(rows) else rows.new_zeros(rows.shape[1])


@pytest.mark.parametrize("function", ["log_softmax", "softmax"])
def test_a_program_may_end_with_a_function_of_its_rows(builder, site, function):
    x = builder.quantize(builder.input, site("inputs"))
    builder.dequantize(x, function)
    rows = torch.randn(50, 5)
    got = Executable(builder.finish({})).run(rows.numpy(), np.zeros((2, 0), int))
    expected = getattr(torch, function)(site("inputs").eval()(rows), dim=1)
    torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-6, atol=1e-6)


def test_the_mean_of_heads_is_taken_on_the_way_to_another_grid(site):
    builder, inputs, update = ProgramBuilder(12), site("inputs"), site("update", -1.5, 1.5)
    bias = torch.randn(4)
    mean = builder.quantize(builder.requantize(builder.quantize(builder.input, inputs), bias, heads=3), update)
    builder.dequantize(mean)
    rows = torch.randn(50, 12)
    got = Executable(builder.finish({})).run(rows.numpy(), np.zeros((2, 0), int))
    expected = update.eval()(inputs.eval()(rows).view(50, 3, 4).mean(1) + bias)
    np.testing.assert_array_equal(got, expected.detach().numpy())


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loop_weight", [1.0, 2])
def test_coefficients_of_edges_are_those_of_the_graph(builder, site, weighted, loop_weight):
    norm = site("norm", -0.2, 1.1, domain="edge")
    edges, weights = torch.randint(9, (2, 60)), torch.rand(60)
    builder.edge_norm(norm, weighted=weighted, loop_weight=loop_weight)
    given = {name for name, unusual in (("weighted", weighted), ("loop_weight", loop_weight == 2)) if unusual}
    assert builder.ops[0].attributes.keys() == {"self_loops", *given}
    expected = norm.codes(Graph.of(edges, 9, weights if weighted else None).looped(loop_weight).symmetric_norm)
    np.testing.assert_array_equal(traced(builder, site, edges, weights if weighted else None), expected[:, None])


def test_weights_of_edges_are_rounded_in_the_order_of_the_graph(builder, site):
    norm = site("norm", -0.2, 1.1, domain="edge")
    edges, weights = torch.randint(9, (2, 60)), torch.rand(60)
    builder.edge_weight(norm)
    expected = norm.codes(Graph.of(edges, 9, weights).weight)
    np.testing.assert_array_equal(traced(builder, site, edges, weights), expected[:, None])


def traced(builder, site, edges, weights):
    """The codes of the first op on a graph of nine nodes."""
    builder.dequantize(builder.quantize(builder.input, site("inputs")))
    program = Executable(builder.finish({}))
    return program.trace(np.ones((9, 5)), edges, edge_weight=weights)[builder.ops[0].output]


def test_dynamic_attention_is_that_of_torch(builder, site):
    """Rows of both ends of an edge on one grid; the logits are the codes of a leaky_relu(l + r)."""
    ends, alpha, vectors = site("features", -2.0, 2.0), site("alpha", -3.0, 3.0, domain="edge"), site("attention")
    x, attention = builder.quantize(builder.input, site("inputs")), torch.randn(1, 5)
    source, target = (
        builder.quantize(builder.activation(x, function), PlaceOfTerm(f"features.{name}", "node", ends))
        for name, function in (("source", torch.relu), ("target", torch.tanh))
    )
    builder.dynamic_attention_logits(
        source, target, alpha, attention=attention, vectors=vectors, negative_slope=0.2, self_loops=True
    )
    builder.dequantize(target)
    rows, edges = torch.randn(30, 5), torch.randint(30, (2, 100))
    values = site("inputs").eval()(rows)
    loops = Graph.of(edges, 30).with_self_loops
    t = ends.eval()(values.relu())[loops.source] + ends.eval()(values.tanh())[loops.target]
    expected = alpha.codes((torch.nn.functional.leaky_relu(t, 0.2) * vectors.eval()(attention)).sum(1))
    trace = Executable(builder.finish({})).trace(rows.numpy(), edges)
    np.testing.assert_array_equal(trace["layer.alpha"], expected[:, None])


def test_what_waits_cannot_be_added_up(builder, site):
    x = builder.quantize(builder.input, site("inputs"))
    with pytest.raises(AssertionError, match="an op that waits has no grid"):
        builder.quantize(builder.add(x, builder.add(x, x)), site("residual"))


def test_a_deferred_sum_lies_on_the_grid_of_the_site_that_quantizes_it(builder, site):
    x = builder.quantize(builder.input, site("inputs"))
    total = builder.quantize(builder.add(x, x, weights=[0.5, 1.0]), site("residual", -2.0, 2.0))
    op = builder.ops[-1]
    assert (op.kind, op.inputs, op.attributes) == ("add", ("layer.inputs",) * 2, {"weights": [0.5, 1.0]})
    assert total.grid == site("residual", -2.0, 2.0).grid()
