"""Checks that an integer program is well formed, by the table in rules.py.

The engine trusts a program that passed `validate`: every code lies on its grid, all shapes fit, every value is written
before it is read, and every multiplier is finite in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from .grid import SMALLEST_SCALE, Grid, code_limits
from .model import INPUT, OUTPUT, IntegerProgram, Op, Value
from .rules import DOMAINS, LARGEST_NUMBER, MOST_COLUMNS, MOST_IDS, NODE_FLOAT, ROW_FLOAT, RULES, Operand, Rule

CODE_DTYPES = {np.dtype(np.int8): True, np.dtype(np.uint8): False}
"""Dtype of codes -> whether they are signed."""

SAFETENSORS_METADATA = "__metadata__"
"""The only key of a safetensors file that cannot name a tensor."""


class ProgramError(ValueError):
    """An integer program that cannot be trusted; the message names what is wrong."""


def validate(program: IntegerProgram) -> None:
    """Checks grids, values, constants and ops of a program.

    Raises:
        ProgramError: on the first fault.
        TypeError: if it is the path of one.
    """
    if isinstance(program, (str, PathLike)):
        raise TypeError(
            f"program: expected what read_program returns, got a path; load_program({str(program)!r}) reads it"
        )
    for name, value in program.values.items():
        _check_value(name, value)
    for name, array in program.constants.items():
        _check_constant(name, array, program.bits.get(name))
    for name in program.bits:
        _require(name in program.constants, f"bits: there is no constant {name!r}")
    reads = INPUT in program.values or not any(op.kind == "in_degree" for op in program.ops)
    for name, operand in (*([(INPUT, NODE_FLOAT)] if reads else []), (OUTPUT, ROW_FLOAT)):
        _require(name in program.values, f"value {name!r} is missing")
        _check_operand(f"value {name!r}", program.values[name], operand)
    written: dict[str, bool | None] = {INPUT: None} if reads else {}
    for number, op in enumerate(program.ops):
        _check_op(f"op {number} ({op.kind})", op, program, written)
    for name in program.values:
        _require(name in written, f"value {name!r}: no op writes it")
    names = set(program.values)
    for op in program.ops:
        if "message" in op.attributes:
            site = op.attributes["message"]
            _require(site not in names, f"message site {site!r} has the name of something else")
            names.add(site)


def _require(holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ProgramError(sentence)


def _is_count(value: Any, smallest: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= smallest


def check_grid(where: str, grid: Grid) -> None:
    """Checks bits, signedness, scale and zero point of a grid.

    Raises:
        ProgramError: naming the entry that is wrong; the message begins with `where`.
    """
    _require(_is_count(grid.bits, 2) and grid.bits <= 8, f"{where}: bits must be 2 to 8, got {grid.bits!r}")
    _require(isinstance(grid.signed, bool), f"{where}: signed must be true or false, got {grid.signed!r}")
    _require(
        isinstance(grid.scale, float) and np.float32(SMALLEST_SCALE) <= grid.scale <= LARGEST_NUMBER,
        f"{where}: scale must be a float from {SMALLEST_SCALE} to {LARGEST_NUMBER}, got {grid.scale!r}",
    )
    _require(
        _is_count(grid.zero_point, grid.qmin) and grid.zero_point <= grid.qmax,
        f"{where}: zero_point must be an int from {grid.qmin} to {grid.qmax}, got {grid.zero_point!r}",
    )


def _check_value(name: str, value: Value) -> None:
    _require(value.name == name, f"value {name!r} is listed under another name than its own, {value.name!r}")
    _require(value.domain in DOMAINS, f"value {name!r}: unknown domain {value.domain!r}")
    _require(_is_count(value.width), f"value {name!r}: width must be a positive int, got {value.width!r}")
    _require(value.width <= MOST_COLUMNS, f"value {name!r}: width is more than {MOST_COLUMNS}")
    if value.grid is not None:
        check_grid(f"value {name!r}", value.grid)


def _check_constant(name: str, array: np.ndarray, bits: int | None) -> None:
    where = f"constant {name!r}"
    _require(name not in ("", SAFETENSORS_METADATA), f"{where}: this name is not free to use")
    _require(array.ndim >= 1 and array.size >= 1, f"{where} is empty or a scalar")
    if array.dtype == np.float32:
        _require(bits is None, f"{where}: float32 has no bits, got {bits!r}")
        _require(
            bool((np.abs(array) <= LARGEST_NUMBER).all()),
            f"{where} holds a number that is not finite or beyond {LARGEST_NUMBER}",
        )
        return
    _require(array.dtype in CODE_DTYPES, f"{where}: dtype must be int8, uint8 or float32, got {array.dtype}")
    if bits is None or not _is_count(bits, 2) or bits > 8:
        raise ProgramError(f"{where}: bits must be 2 to 8, got {bits!r}")
    qmin, qmax = code_limits(bits, signed=CODE_DTYPES[array.dtype])
    inside = qmin <= int(array.min()) and int(array.max()) <= qmax
    _require(inside, f"{where} holds a code outside its {bits} bits, [{qmin}, {qmax}]")


class _ResolvedOp(NamedTuple):
    """An op with its rule and values; `where` names it in error messages."""

    where: str
    op: Op
    rule: Rule
    inputs: list[Value]
    output: Value

    @classmethod
    def of(cls, where: str, op: Op, values: Mapping[str, Value]) -> _ResolvedOp:
        """Looks up the rule and the values of an op.

        Raises:
            ProgramError: if there is no such kind of op, or a value is missing.
        """
        _require(op.kind in RULES, f"{where}: unknown kind of op")
        rule = RULES[op.kind]
        least, given = len(rule.inputs), len(op.inputs)
        fits = given >= least if rule.repeats else given - least in ((0, 1) if rule.further else (0,))
        _require(fits, f"{where}: takes {least} inputs{' or more' if rule.repeats else ''}, got {given}")
        for name in (*op.inputs, op.output):
            _require(name in values, f"{where}: value {name!r} is missing")
        return cls(where, op, rule, [values[name] for name in op.inputs], values[op.output])


def _check_op(where: str, op: Op, program: IntegerProgram, written: dict[str, bool | None]) -> None:
    """Checks one op and enters its output in `written`, for edge values with whether their edges have self-loops."""
    resolved = _ResolvedOp.of(where, op, program.values)
    for name in op.inputs:
        _require(name in written, f"{where}: value {name!r} is read before it is written")
    _require(op.output not in written, f"{where}: value {op.output!r} is written twice")
    _check_attributes(resolved)
    _check_operands(resolved)
    _check_grids(resolved)
    _check_tensors(resolved, program)
    written[op.output] = _self_loops_of(resolved, written)


def _check_operands(resolved: _ResolvedOp) -> None:
    where, op, rule, inputs, output = resolved
    operands = [*rule.inputs]
    while len(operands) < len(inputs):
        operands.append(rule.further or rule.inputs[-1])
    for value, operand in zip(inputs, operands, strict=True):
        _check_operand(f"{where}: input {value.name!r}", value, operand)
    _check_operand(f"{where}: output {output.name!r}", output, rule.output)
    if rule.further and len(inputs) > len(rule.inputs):
        same = output.grid is None and inputs[-1].width == output.width
        _require(same, f"{where}: one more input goes with a float32 output as wide, which {output.name!r} is not")
    if rule.output.domains == DOMAINS:
        domains = {value.domain for value in inputs}
        if "pooled" in op.attributes:
            _require(inputs[0].domain == "node", f"{where}: pooled is for rows of nodes")
            domains = {"graph", *(value.domain for value in inputs[1:])}
        _require(domains == {output.domain}, f"{where}: inputs and output {output.name!r} must live at one place")
    for value in inputs if rule.copies(op.attributes) else ():
        same = value.grid == output.grid
        _require(same, f"{where}: input {value.name!r} must lie on exactly the grid of output {output.name!r}")
    grids = {value.grid for value in inputs}
    _require(not rule.one_grid or len(grids) == 1, f"{where}: inputs must lie on exactly one grid")
    widths, heads = [value.width for value in inputs], op.attributes.get("heads", 1)
    expected = rule.widths.expected + (f" for each of {heads} heads" if heads > 1 else "")
    fits = rule.widths.holds(widths, output.width * heads)
    _require(fits, f"{where}: needs {expected}, got {widths} -> {output.width}")


def _check_operand(where: str, value: Value, operand: Operand) -> None:
    domains = " or ".join(f"{domain}s" for domain in operand.domains)
    _require(value.domain in operand.domains, f"{where} must live on {domains}, not on {value.domain}s")
    coded = value.grid is not None
    _require(operand.coded in (None, coded), f"{where} must be {'codes' if operand.coded else 'float32'}")


def _check_attributes(resolved: _ResolvedOp) -> None:
    where, op, rule, inputs, _ = resolved
    for name, value in op.attributes.items():
        _require(name in rule.attributes, f"{where}: unknown attribute {name!r}")
        condition = rule.attributes[name]
        _require(condition.holds(value), f"{where}: {name} must be {condition.expected}, got {value!r}")
    for name in rule.required:
        _require(name in op.attributes, f"{where}: attribute {name!r} is missing")
    weights = len(op.attributes.get("weights", op.inputs))
    _require(weights == len(op.inputs), f"{where}: {weights} weights for {len(op.inputs)} inputs")
    for name in {"mean", "deviation"} & set(op.attributes):
        count, width = len(op.attributes[name]), resolved.output.width
        _require(count == width, f"{where}: {name} has {count} numbers for {width} columns")
    _require(not {"row_scale", "reduce"} <= set(op.attributes), f"{where}: row_scale is for sums, not for a reduce")
    loops_are_added = "loop_weight" not in op.attributes or op.attributes.get("self_loops", False)
    _require(loops_are_added, f"{where}: loop_weight is for self-loops, which this op does not add")
    of_nodes = all(value.domain == "node" for value in inputs[: len(rule.inputs)])
    _check_statistics(where, op.attributes, of_nodes=of_nodes)
    _require("row_scale" not in op.attributes or of_nodes, f"{where}: row_scale is for rows of nodes")
    if rule.pools and "row_scale" in op.attributes:
        fits = ("pooled" in op.attributes) is (op.attributes["row_scale"] == "inverse_degree")
        _require(fits, f"{where}: row_scale inverse_degree is for what is pooled, and no other is")


def _check_statistics(where: str, attributes: Mapping[str, Any], *, of_nodes: bool) -> None:
    """Checks that the attributes of a normalize go together."""
    over = attributes.get("over", "row")
    _require(over == "row" or of_nodes, f"{where}: over {over!r} is for rows of nodes")
    for name, there in (("per_column", over != "row"), ("eps_beside", over != "row"), ("length", over == "row")):
        _require(there or not attributes.get(name, False), f"{where}: {name} does not go with over {over!r}")


def _check_grids(resolved: _ResolvedOp) -> None:
    where, op, rule = resolved[:3]
    _require(set(op.grids) == set(rule.grids), f"{where}: needs grids {list(rule.grids)}, got {list(op.grids)}")
    for role, grid in op.grids.items():
        check_grid(f"{where}: {role}", grid)
        replaced = role == "weight_grid" and "scale" in op.tensors and grid.scale != 1.0
        _require(not replaced, f"{where}: a scale a column takes the place of that of {role}, 1.0")


def _check_tensors(resolved: _ResolvedOp, program: IntegerProgram) -> None:
    where, op, rule, inputs, output = resolved
    for role in op.tensors:
        _require(role in rule.tensors, f"{where}: unknown tensor {role!r}")
    grids = {"output": output.grid, **op.grids}
    for role, tensor in rule.tensors.items():
        if role not in op.tensors:
            _require(tensor.optional, f"{where}: tensor {role!r} is missing")
            continue
        name = op.tensors[role]
        _require(name in program.constants, f"{where}: constant {name!r} is missing")
        array = program.constants[name]
        sizes = {**_sizes(inputs[0], output), "any": array.shape[0]}
        shape = tuple(sizes[symbol] for symbol in tensor.shape)
        _require(array.shape == shape, f"{where}: {role} {name!r} must have shape {shape}, got {array.shape}")
        too_many = op.kind == "embedding" and array.shape[0] > MOST_IDS
        _require(not too_many, f"{where}: {role} {name!r} has more than the {MOST_IDS} rows that float32 ids can name")
        grid = grids[tensor.grid] if tensor.grid else None
        _require(
            _code_type(array, program.bits.get(name)) == (None if grid is None else (grid.bits, grid.signed)),
            f"{where}: {role} {name!r} does not have the dtype and bits of its grid",
        )


def _sizes(first: Value, output: Value) -> Mapping[str, int]:
    """The sizes that the symbols of `Tensor.shape` stand for."""
    levels = 2**first.grid.bits if first.grid else 0
    return {"in": first.width, "out": output.width, "per_head": first.width // output.width, "levels": levels}


def _code_type(array: np.ndarray, bits: int | None) -> tuple[int, bool] | None:
    """Bits and signedness of a constant that holds codes; None for float32."""
    return None if bits is None else (bits, CODE_DTYPES[array.dtype])


def _self_loops_of(resolved: _ResolvedOp, written: Mapping[str, bool | None]) -> bool | None:
    """Whether the edges an op works on include self-loops (None: no edges); its edge inputs must agree."""
    where, op = resolved[:2]
    of_inputs = {written[value.name] for value in resolved.inputs if value.domain == "edge"}
    if "self_loops" not in resolved.rule.attributes:
        return next(iter(of_inputs), None)
    self_loops = bool(op.attributes.get("self_loops", False))
    _require(of_inputs <= {self_loops}, f"{where}: self_loops differs from that of the op that wrote its edge input")
    return self_loops
