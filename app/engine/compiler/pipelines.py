"""How kernels and their pieces are compiled: as numba does it, less the work that is done twice.

Numba optimises every function by itself, then again with what it calls, and assembles the pieces too. Pieces of kernels
are inlined and never called. So they stay as they were written down, and a kernel is optimised once, with its pieces.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call,misc"
from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager

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
        manager = PassManager("kernel")
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
