"""Calls of compiled kernels from compiled code: what numba does to call one from Python, without Python.

A *link* is compiled code that reads the arguments of one kernel from memory and calls it. Kernels with the same
types of arguments share a link. A chain is a list of links; `run` calls them in turn.

Arguments are 64-bit words. A number is one word. An array is the number of its address in a table of addresses, and
for each of its dimensions two words: the number of an entry in a table of sizes, and what multiplies it. All arrays
are C-ordered.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call"
import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import config, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

WORD, BIT, CODE = ir.IntType(64), ir.IntType(1), ir.IntType(32)
WORDS = WORD.as_pointer()
LINK = ir.FunctionType(CODE, [WORDS, WORDS, WORDS, WORD])

DONE, REFUSED, FAILED = 0, 1, 2
"""What a link returns: its kernel ran; it returned False; it had no memory."""

RAN = (0, -2)
"""What a kernel returns to numba if it ended without an exception."""

CAN_COMPILE = not vars(config)["DISABLE_JIT"]
"""Whether there are compiled kernels to call."""

alone: Callable[[Callable[..., Any]], Callable[..., Any]] = global_compiler_lock
"""Lets one thread compile at a time."""

_KEPT: list[Any] = []
"""Compiled code stays as long as the process."""


class Entry(NamedTuple):
    """Where a kernel's compiled version begins, and the link that calls it."""

    kernel: int
    link: int


@alone
def entry(kernel: Callable[..., Any], argument_types: tuple[Any, ...]) -> Entry:
    """Compiles a kernel for types of arguments, if it is not compiled for them yet."""
    kernel.compile(argument_types)  # type: ignore[attr-defined]
    version = kernel.overloads[argument_types]  # type: ignore[attr-defined]
    address = kernel.addresses[argument_types]  # type: ignore[attr-defined]
    return Entry(address, _link(argument_types, version.signature.return_type))


@cache
def _link(argument_types: tuple[Any, ...], result: Any) -> int:
    """Compiles the link for types of arguments and of the result, and returns its address."""
    module = ir.Module("link")
    function = ir.Function(module, LINK, "link")
    words, addresses, sizes, kernel = function.args
    builder, context = ir.IRBuilder(function.append_basic_block()), cpu_target.target_context
    memory = _Memory(context, builder, words, addresses, sizes, iter(range(2**31)))
    arguments = [memory.argument(kind) for kind in argument_types]
    callee = context.call_conv.get_function_type(result, argument_types)
    returned = builder.alloca(context.data_model_manager[result].get_return_type())
    exception = builder.alloca(callee.args[1].pointee)
    packed = context.get_arg_packer(argument_types).as_arguments(builder, arguments)
    code = builder.call(builder.inttoptr(kernel, callee.as_pointer()), [returned, exception, *packed])
    ran = builder.or_(*(builder.icmp_signed("==", code, CODE(good)) for good in RAN))
    outcome = CODE(DONE)
    if result == types.boolean:
        outcome = builder.select(builder.trunc(builder.load(returned), BIT), CODE(DONE), CODE(REFUSED))
    builder.ret(builder.select(ran, outcome, CODE(FAILED)))
    return _compiled(module, "link")


class _Memory(NamedTuple):
    """Writes code that reads arguments from memory, one after the other.

    Attributes:
        context, builder: of numba and of llvmlite.
        words, addresses, sizes: where words and tables begin.
        numbers: the number of the next word.
    """

    context: Any
    builder: Any
    words: Any
    addresses: Any
    sizes: Any
    numbers: Iterator[int]

    def argument(self, kind: Any) -> Any:
        """Returns an argument of a type as numba's code holds it."""
        if isinstance(kind, types.Array):
            return self._array(kind)
        form = self.context.get_value_type(kind)
        if isinstance(form, ir.PointerType):  # a dtype or None, which exist for the compiler only
            return ir.Constant(form, None)
        word = self._next()
        if isinstance(form, ir.IntType):
            return word if form.width == WORD.width else self.builder.trunc(word, form)
        return self.builder.bitcast(word if isinstance(form, ir.DoubleType) else self.builder.trunc(word, CODE), form)

    def _array(self, kind: Any) -> Any:
        """Returns an array that owns no memory."""
        context, builder = self.context, self.builder
        address = self._entry(self.addresses)
        shape = [builder.mul(self._entry(self.sizes), self._next()) for _ in range(kind.ndim)]
        item = WORD(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        number, strides = WORD(1), list[Any]()
        for size in reversed(shape):
            strides.insert(0, builder.mul(item, number))
            number = builder.mul(number, size)
        model, value = context.data_model_manager[kind], ir.Constant(context.get_value_type(kind), None)
        fields = {
            "nitems": number,
            "itemsize": item,
            "data": builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer()),
            "shape": context.make_tuple(builder, types.UniTuple(types.intp, kind.ndim), shape),
            "strides": context.make_tuple(builder, types.UniTuple(types.intp, kind.ndim), strides),
        }
        for name, field in fields.items():
            value = builder.insert_value(value, field, model.get_field_position(name))
        return value

    def _next(self) -> Any:
        """Reads the next word."""
        return self.builder.load(self.builder.gep(self.words, [WORD(next(self.numbers))]))

    def _entry(self, table: Any) -> Any:
        """Reads the entry of a table whose number is the next word."""
        return self.builder.load(self.builder.gep(table, [self._next()]))


@cache
@alone
def _run() -> int:
    """Compiles what calls links in turn: run(calls, n, words, addresses, sizes) -> 0, or 4 * call + outcome.

    A call is three words: the addresses of its link and of its kernel, and the number of its first argument.
    """
    module = ir.Module("run")
    function = ir.Function(module, ir.FunctionType(WORD, [WORDS, WORD, WORDS, WORDS, WORDS]), "run")
    calls, count, words, addresses, sizes = function.args
    names = ("start", "loop", "body", "stop", "end")
    start, loop, body, stop, end = (function.append_basic_block(name) for name in names)
    ir.IRBuilder(start).branch(loop)
    builder = ir.IRBuilder(loop)
    number = builder.phi(WORD)
    number.add_incoming(WORD(0), start)
    builder.cbranch(builder.icmp_signed("<", number, count), body, end)
    builder = ir.IRBuilder(body)
    at = builder.mul(number, WORD(3))
    link, kernel, first = (builder.load(builder.gep(calls, [builder.add(at, WORD(i))])) for i in range(3))
    function_of = builder.inttoptr(link, LINK.as_pointer())
    outcome = builder.call(function_of, [builder.gep(words, [first]), addresses, sizes, kernel])
    number.add_incoming(builder.add(number, WORD(1)), body)
    builder.cbranch(builder.icmp_signed("==", outcome, CODE(DONE)), loop, stop)
    builder = ir.IRBuilder(stop)
    builder.ret(builder.add(builder.mul(number, WORD(4)), builder.zext(outcome, WORD)))
    ir.IRBuilder(end).ret(WORD(0))
    return _compiled(module, "run")


def _compiled(module: ir.Module, name: str) -> int:
    """Compiles a module and returns the address of one of its functions."""
    module.triple = llvm.get_process_triple()
    machine = llvm.Target.from_triple(module.triple).create_target_machine(opt=0, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    _KEPT.append(engine)
    address: int = engine.get_function_address(name)
    return address


RUN_TYPE = (ctypes.c_int64, *[ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p])


@cache
def run(*, holding_gil: bool) -> Callable[..., int]:
    """Returns run(calls, n, words, addresses, sizes), with addresses as numbers: 0, or 4 * call + REFUSED or FAILED.

    Args:
        holding_gil: giving it up and taking it again costs more than a short call takes.
    """
    return (ctypes.PYFUNCTYPE if holding_gil else ctypes.CFUNCTYPE)(*RUN_TYPE)(_run())


def without_partial(kernel: Any) -> tuple[Any, Sequence[Any]]:
    """Returns the kernel itself and the arguments that come first, of a kernel that may be a `partial`."""
    return (kernel.func, kernel.args) if isinstance(kernel, partial) else (kernel, ())
