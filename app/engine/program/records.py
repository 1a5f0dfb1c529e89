"""Converts values and ops of a program to JSON records and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .check import ProgramError
from .grid import Grid
from .model import Op, Value

VALUE: dict[str, Any] = {"name": str, "domain": str, "width": int, "grid": (dict, type(None))}
OP: dict[str, Any] = {"kind": str, "inputs": list, "output": str, "tensors": dict, "grids": dict, "attributes": dict}
GRID: dict[str, Any] = {"scale": float, "zero_point": int, "bits": int, "signed": bool}


def read_fields(where: str, entry: Any, types: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Returns `entry` after checking that it is a record of exactly these fields and types (bool is no int here).

    Raises:
        ProgramError: naming the field that is missing, unknown or of a wrong type; the message begins with `where`.
    """
    if not isinstance(entry, dict):
        raise ProgramError(f"{where}: expected a record, got {type(entry).__name__}")
    for name in sorted(types.keys() ^ entry.keys()):
        raise ProgramError(f"{where}: {name!r} is {'missing' if name in types else 'unknown'}")
    for name, kind in types.items():
        if type(entry[name]) not in (kind if isinstance(kind, tuple) else (kind,)):
            raise ProgramError(f"{where}: {name} has a wrong type, {type(entry[name]).__name__}")
    return entry


def _names(where: str, names: list[Any]) -> list[str]:
    if not all(isinstance(name, str) for name in names):
        raise ProgramError(f"{where}: expected names, got {names!r}")
    return names


def _encode_grid(grid: Grid) -> dict[str, Any]:
    return {name: getattr(grid, name) for name in GRID}


def encode_value(value: Value) -> dict[str, Any]:
    """Returns the record of a value."""
    grid = None if value.grid is None else _encode_grid(value.grid)
    return {"name": value.name, "domain": value.domain, "width": value.width, "grid": grid}


def encode_op(op: Op) -> dict[str, Any]:
    """Returns the record of an op."""
    return {
        "kind": op.kind,
        "inputs": list(op.inputs),
        "output": op.output,
        "tensors": dict(op.tensors),
        "grids": {role: _encode_grid(grid) for role, grid in op.grids.items()},
        "attributes": dict(op.attributes),
    }


def _decode_grid(where: str, entry: Any) -> Grid:
    return Grid(**read_fields(where, entry, GRID))


def decode_value(where: str, entry: Any) -> Value:
    """Returns the value that a record describes.

    Raises:
        ProgramError: if `entry` is not the record of a value.
    """
    fields = read_fields(where, entry, VALUE)
    grid = None if fields["grid"] is None else _decode_grid(f"{where}: grid", fields["grid"])
    return Value(fields["name"], fields["domain"], fields["width"], grid)


def decode_op(where: str, entry: Any) -> Op:
    """Returns the op that a record describes; lists among its attributes become tuples.

    Raises:
        ProgramError: if `entry` is not the record of an op.
    """
    fields = read_fields(where, entry, OP)
    _names(f"{where}: inputs", fields["inputs"])
    _names(f"{where}: tensors", list(fields["tensors"].values()))
    return Op(
        kind=fields["kind"],
        inputs=tuple(fields["inputs"]),
        output=fields["output"],
        tensors=fields["tensors"],
        grids={role: _decode_grid(f"{where}: {role}", grid) for role, grid in fields["grids"].items()},
        attributes={name: _frozen(value) for name, value in _modern(fields["kind"], fields["attributes"]).items()},
    )


def _modern(kind: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replaces the `mode` that earlier releases wrote for a pool by its `row_scale`."""
    if kind == "pool" and attributes == {"mode": "mean"}:
        return {"row_scale": "inverse_degree"}
    return {} if kind == "pool" and attributes == {"mode": "sum"} else attributes


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
