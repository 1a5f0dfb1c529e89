"""How kernels and their pieces are compiled: as numba does it, less the work that is done twice.

Numba optimises every function by itself, then again with what it calls, and assembles the pieces too. Pieces of kernels
are inlined and never called. So they stay as they were written down, and a kernel is optimised once, with its pieces.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call,misc"
from functools import cache
from typing import Any

from numba.core import typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typing.context import Context

PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)
"""What numba does to a function, less what kernels have none of: closures, `with`, exceptions, loops over tuples,
expressions of whole arrays, functions that are inlined in Numba's own form."""


class _TypingContext(Context):
    """Numba's typing context, which asks once for all kernels what a call of a built-in function returns.

    Numba asks every implementation in turn, at every call: those for strings and lists before those for arrays.
    """

    def __init__(self) -> None:
        self.__dict__ = cpu_target.typing_context.__dict__
        self._signatures = dict[Any, Any]()

    def resolve_function_type(self, function: Any, arguments: Any, keywords: Any) -> Any:
        """Returns the signature of a call; None if there is none."""
        typed = not keywords and all(isinstance(argument, types.Type) for argument in arguments)
        if not typed or isinstance(function, types.Dispatcher):  # which may be in the making
            return super().resolve_function_type(function, arguments, keywords)
        found = self._signatures.get((function, arguments))
        if found is None:
            found = super().resolve_function_type(function, arguments, keywords)
            self._signatures[function, arguments] = found
        return found


_typing = cache(_TypingContext)
"""Returns the one that all kernels share."""


def _finds_at_once(target: Any) -> None:
    """Makes a copy of numba's target find what has no implementation without installing all registries again.

    Numba looks for one of `__array__` at every use of an array. What has a name as text is its own: it is there or not.
    """
    find = target.get_function

    def get_function(function: Any, signature: Any, _firstcall: bool = True) -> Any:  # noqa: FBT001, FBT002 - numba's
        return find(function, signature, _firstcall=_firstcall and not isinstance(function, str))

    target.get_function = get_function


class _PassManager(PassManager):
    """Runs passes without looking, after each, whether it kept numba's rules."""

    _ENFORCING = False


class _KernelLibrary(JITCodeLibrary):
    """The code of a kernel."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Leaves functions as they are: the whole module is optimised when all pieces are linked."""
        ll_module.data_layout = self._codegen._data_layout


class _PartLibrary(_KernelLibrary):
    """The code of a piece, without machine code of its own."""

    def _optimize_final_module(self) -> None:
        """Leaves the module as it is."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """What is told of the environments of functions that were assembled."""
        return _NoMachineCode

    def get_pointer_to_function(self, name: str) -> int:
        """Returns 0: nobody calls it."""
        return 0


class _NoMachineCode:
    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Does nothing: only machine code reads an environment."""


class _Compiler(CompilerBase):
    library: type[_KernelLibrary]

    def define_pipelines(self) -> list[Any]:
        """Returns the passes of kernels, which write to another library than numba's own."""
        self.state.library = self.library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        self.state.typingctx = _typing()
        _finds_at_once(self.state.targetctx)
        manager = _PassManager("kernel")
        for step in PASSES:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class KernelCompiler(_Compiler):
    """The compiler of kernels, for numba.njit(pipeline_class=...)."""

    library = _KernelLibrary


class PartCompiler(_Compiler):
    """The compiler of what is inlined in kernels: njit(pipeline_class=PartCompiler, forceinline=True)."""

    library = _PartLibrary
