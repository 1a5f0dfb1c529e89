"""What becomes of functions, operators and methods that a forward calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from models.conversion.conversion import Conversion, Form, Given, Rows
from models.conversion.errors import UnsupportedModel, place_of
from models.conversion.rules.casts import floats
from models.conversion.rules.joins import added, joined, pooled_rows
from models.conversion.rules.layers import activated, functional_dropout
from models.layers.activation import Activation, OfEntries, Scaled
from models.layers.joins import Pool
from models.layers.norm import UnitLength

POOLS: Mapping[str, Pool] = {"global_mean_pool": "mean", "global_add_pool": "sum", "global_max_pool": "max"}

UNSIGNED = {"relu", "relu6", "sigmoid", "hardsigmoid", "softplus", "abs", "square", "exp"}
"""Functions of an entry whose results are never negative."""

SIGNED = {
    "elu", "selu", "celu", "leaky_relu", "gelu", "silu", "mish", "softsign", "tanh", "hardtanh", "hardswish",
    "logsigmoid", "log_sigmoid", "threshold", "tanhshrink", "softshrink", "hardshrink", "neg", "clamp", "sin", "cos",
}  # fmt: skip
"""Others."""

ENDINGS = {"log_softmax", "softmax", "sigmoid"}
"""What the program applies to its logits, in float32."""

STACKS = ("hstack", "column_stack")
"""Functions that put rows side by side."""

OVER_COLUMNS = {"log_softmax", "softmax"}
"""Those of them that read all columns of a row."""

RESHAPES = {"squeeze", "flatten", "view", "reshape"}

ADVICE = {
    "stack": "add the rows, or put them side by side by torch.cat",
    "size": "decide by a setting of the module, and leave edges as they are given",
    "to": "give the network x as it is to be",
}
"""What to do without a function that people use."""


@dataclass(frozen=True)
class Ended:
    """Logits, and what the forward does to them afterwards."""

    logits: Rows
    functions: tuple[OfEntries, ...]
    name: str | None
    """Of the one in `ENDINGS`."""


def call_function(c: Conversion, node: fx.Node) -> Any:
    """What is known of the result of a function or method.

    Raises:
        UnsupportedModel: for functions that no program has.
    """
    name = name_of(node)
    is_behind = bool(node.args) and isinstance(c.value(node.args[0]), Ended)
    if is_behind or (name in ENDINGS | RESHAPES and ends(c, node)):
        return ended(c, node, name)
    if name not in FUNCTIONS:
        advice = ADVICE.get(name, "leave it out or do it in the data")
        raise UnsupportedModel(f"{place_of(node)}: no program computes {name}; {advice}")
    return FUNCTIONS[name](c, node)


def name_of(node: fx.Node) -> str:
    """The name of a function or method, without what says that it works in place."""
    name = node.target if isinstance(node.target, str) else node.target.__name__
    name = name.strip("_")
    return name.removeprefix("i") if name in ("iadd", "isub", "imul", "itruediv") else name


def of_node(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OfEntries:
    """The function of a call with its settings."""
    return OfEntries(name_of(node) if isinstance(node.target, str) else node.target, args, kwargs)


def number_of(argument: Any) -> float:
    """An argument of a call that is a number."""
    return float(argument)


def attribute(c: Conversion, node: fx.Node) -> Any:
    """An attribute of the `data` that a network is given."""
    given, name = c.value(node.args[0]), str(node.args[1])
    if isinstance(given, Given) and given.role == "data":
        known = c.attributes
        if name in known:
            return known[name]
    elif isinstance(given, Given):
        raise UnsupportedModel(f"{place_of(node)}: reads .{name} of {given.role}; call what holds a graph `data`")
    raise UnsupportedModel(f"{place_of(node)}: reads .{name}, which is unknown; there are {', '.join(c.attributes)}")


ENDING_MODULES: Mapping[type[nn.Module], str] = {
    nn.LogSoftmax: "log_softmax",
    nn.Softmax: "softmax",
    nn.Sigmoid: "sigmoid",
}
"""Modules that may stand at the end of a network, and the function that each is."""


def ends(c: Conversion, node: fx.Node) -> bool:
    """Whether nothing but functions and modules that may stand at the end, and the output, read the result."""
    return len(node.users) == 1 and all(
        user.op == "output" or (_may_end(c, user) and ends(c, user)) for user in node.users
    )


def _may_end(c: Conversion, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(c.network.get_submodule(str(node.target))) in ENDING_MODULES
    return node.op in ("call_function", "call_method") and name_of(node) in ENDINGS | RESHAPES


def ended(c: Conversion, node: fx.Node, name: str) -> Ended:
    """The logits with one function more."""
    args, kwargs = node.args[1:], {k: v for k, v in node.kwargs.items() if not k.startswith("_")}
    dim = kwargs.get("dim", args[0] if args else None)
    if dim is None and node.target in (nn.functional.softmax, nn.functional.log_softmax):  # of rows torch takes 1
        dim, args = 1, (1, *args[1:])
        kwargs.pop("dim", None)
    if name in OVER_COLUMNS and dim not in (1, -1):
        raise UnsupportedModel(f"{place_of(node)}: takes {name} over another dimension; take it over the last")
    if name in RESHAPES and not leaves_one_column(name, [*args, *kwargs.values()]):
        raise UnsupportedModel(f"{place_of(node)}: {name} makes more than one column of one; leave one number a row")
    return behind_the_end(c, node, name, of_node(node, args, kwargs))


def ended_by(c: Conversion, node: fx.Node, module: nn.Module) -> Ended:
    """The same by a module."""
    name = ENDING_MODULES[type(module)]
    if getattr(module, "dim", -1) not in (1, -1, None) or not ends(c, node):
        raise UnsupportedModel(f"{node.target}: {name} is for the last dimension at the end of the network")
    return behind_the_end(c, node, name, OfEntries(name, (-1,) if name in OVER_COLUMNS else (), {}))


def behind_the_end(c: Conversion, node: fx.Node, name: str, function: OfEntries) -> Ended:
    """The logits with a function more, which the program knows by `name`."""
    first = c.value(node.args[0])
    before = first if isinstance(first, Ended) else Ended(c.coded(c.rows(node, node.args[0])), (), None)
    if name not in ENDINGS | RESHAPES or (name in ENDINGS and before.name):
        raise UnsupportedModel(f"{place_of(node)}: comes behind the end of the network, where no program has {name}")
    if name in OVER_COLUMNS and before.functions:
        raise UnsupportedModel(f"{place_of(node)}: takes {name} of reshaped rows; take it over their columns before")
    if name in RESHAPES and before.logits.width != 1:
        width = before.logits.width
        raise UnsupportedModel(f"{place_of(node)}: reshapes rows of {width} columns; leave them as they are")
    return Ended(before.logits, (*before.functions, function), name if name in ENDINGS else before.name)


def leaves_one_column(name: str, settings: list[Any]) -> bool:
    """Whether a reshape makes [N] or [N, 1] of rows of one column."""
    sizes = [size for part in settings for size in (part if isinstance(part, (tuple, list)) else (part,))]
    return name == "flatten" or sizes in ([[], [1], [-1]] if name == "squeeze" else [[-1], [-1, 1]])


def of_entries(c: Conversion, node: fx.Node) -> Rows:
    """An activation."""
    name, x = name_of(node), c.rows(node, node.args[0])
    kwargs = {k: v for k, v in node.kwargs.items() if k != "inplace"}
    if len(node.all_input_nodes) > 1:
        raise UnsupportedModel(f"{place_of(node)}: gives {name} rows for a setting; give it a number")
    function: Any = torch.relu if name == "relu" else of_node(node, node.args[1:], kwargs)
    return activated(c, node, x, Activation(function, signed=name not in UNSIGNED))


def arithmetic(c: Conversion, node: fx.Node) -> Any:
    """Sums and differences of rows; rows and numbers."""
    name, settings = name_of(node), dict(node.kwargs)
    operands = [*node.args, *(settings.pop(key) for key in ("input", "other") if key in settings)]
    alpha = number_of(settings.pop("alpha", 1.0))
    if len(operands) != 2 or any(value is not None for value in settings.values()):
        raise UnsupportedModel(f"{place_of(node)}: computes {name} with other settings than two operands")
    if name.startswith("r"):
        operands, name = operands[::-1], name[1:]
        if alpha != 1.0:
            raise UnsupportedModel(f"{place_of(node)}: takes an alpha; multiply the rows by it beforehand")
    left, right = (c.value(operand) for operand in operands)
    if isinstance(left, Rows) and isinstance(right, Rows):
        if name not in ("add", "sub"):
            raise UnsupportedModel(f"{place_of(node)}: multiplies rows with rows, which no program computes")
        return added(c, node, operands, [1.0, alpha if name == "add" else -alpha])
    rows, number = (left, right) if isinstance(left, Rows) else (right, left)
    if not isinstance(rows, Rows) or isinstance(number, bool) or not isinstance(number, (int, float)):
        raise UnsupportedModel(f"{place_of(node)}: computes with something else than rows and numbers")
    if alpha != 1.0:
        raise UnsupportedModel(f"{place_of(node)}: takes an alpha beside a number; multiply the number by it")
    return with_number(c, node, rows, name, float(number), rows is left)


def with_number(c: Conversion, node: fx.Node, rows: Rows, name: str, number: float, rows_first: bool) -> Rows:  # noqa: PLR0917, FBT001
    """Rows times or plus a number."""
    factor, summand = {
        "add": (1.0, number),
        "sub": (1.0, -number) if rows_first else (-1.0, number),
        "mul": (number, 0.0),
    }.get(name, (1.0 / number if number and rows_first else 0.0, 0.0))
    if factor == 0.0:
        raise UnsupportedModel(f"{place_of(node)}: multiplies by zero, or divides a number by rows")
    if (factor, summand) == (1.0, 0.0):
        return rows
    signed = rows.signed or factor < 0 or summand < 0
    return activated(c, node, rows, Activation(Scaled(factor, summand), signed=signed))


def concatenated(c: Conversion, node: fx.Node) -> Rows:
    """`torch.cat` of columns, or `torch.hstack`."""
    dim = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else 0))
    if name_of(node) not in STACKS and dim not in (1, -1):
        raise UnsupportedModel(f"{place_of(node)}: concatenates along dimension {dim}; only columns (-1) can be")
    return joined(c, node, node.args[0], "concatenate")


def unit_length(c: Conversion, node: fx.Node) -> Rows:
    """`F.normalize` of rows."""
    names = ("input", "p", "dim", "eps", "out")
    given = {"p": 2.0, "dim": 1, "eps": 1e-12, "out": None} | dict(zip(names, node.args, strict=False)) | node.kwargs
    if given["p"] != 2.0 or given["dim"] not in (1, -1) or given["out"] is not None or not number_of(given["eps"]) > 0:
        raise UnsupportedModel(f"{place_of(node)}: normalises otherwise than rows to Euclidean length one")
    x = c.coded(c.rows(node, given["input"]))
    result = replace(x, form=Form.OPERATION, role="normalized")
    return c.add_step(c.free_path(node.name), UnitLength(number_of(given["eps"])), [x], result)


def maximum(c: Conversion, node: fx.Node) -> Rows:
    """The larger of two rows."""
    if len(node.args) != 2 or not isinstance(c.value(node.args[1]), Rows):
        raise UnsupportedModel(f"{place_of(node)}: takes a maximum of something else than two rows of equal width")
    return joined(c, node, list(node.args), "maximum")


def pooled(c: Conversion, node: fx.Node) -> Rows:
    """One of PyG's pools."""
    return pooled_rows(c, node, POOLS[name_of(node)])


def unchanged(c: Conversion, node: fx.Node) -> Any:
    """What changes no number."""
    return c.value(node.args[0])


def categories(c: Conversion, node: fx.Node) -> Rows:
    """The network's input, read as one category a node."""
    rows = c.rows(node, node.args[0], categories=True)
    if rows.form not in (Form.FLOAT, Form.IDS) and name_of(node) in RESHAPES:
        raise UnsupportedModel(f"{place_of(node)}: reshapes rows that others read; do it at the end of the network")
    if rows.form not in (Form.FLOAT, Form.IDS) or not _keeps_one_column(node):
        where = "do it in the data" if rows.of_input else "leave it out"
        by_graph = any(isinstance(index, Given) for index in map(c.value, node.args[1:]))
        where = "it gives nodes the rows of their graphs; leave it out" if by_graph else where
        raise UnsupportedModel(f"{place_of(node)}: takes rows apart, which no program can; {where}")
    return replace(rows, form=Form.IDS)


def _keeps_one_column(node: fx.Node) -> bool:
    """Whether a call leaves all of one column [N, 1], whatever shape it gives it."""
    return name_of(node) != "getitem" or node.args[-1] in ((slice(None), 0), (Ellipsis, 0))


def item(c: Conversion, node: fx.Node) -> Any:
    """An entry of the `data` that a network is given, `data["x"]`; or the first column of its input."""
    of_data = isinstance(node.args[1], str) and isinstance(c.value(node.args[0]), Given)
    return attribute(c, node) if of_data else categories(c, node)


FUNCTIONS: Mapping[str, Callable[[Conversion, fx.Node], Any]] = {
    "getattr": attribute,
    "dropout": functional_dropout,
    **dict.fromkeys(POOLS, pooled),
    **dict.fromkeys(UNSIGNED | SIGNED, of_entries),
    **dict.fromkeys(("add", "sub", "mul", "truediv", "div", "radd", "rsub", "rmul"), arithmetic),
    **dict.fromkeys(("cat", "concat", "concatenate", *STACKS), concatenated),
    "normalize": unit_length,
    **dict.fromkeys(("maximum", "max"), maximum),
    **dict.fromkeys(("float", "double", "to", "type"), floats),
    **dict.fromkeys(("contiguous", "clone"), unchanged),
    **dict.fromkeys(("long", "int", *RESHAPES), categories),
    "getitem": item,
}
"""What becomes of functions and methods, by name."""
