"""Launches the kernels of `gpu_kernels.py`: what `device.py` and the torch formulas do on a GPU, in fewer launches.

Each launch is an op of torch, so that whatever wraps tensors passes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, wraps
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

log = logging.getLogger(__name__)

BLOCK = 1024
"""Entries of one program of a kernel."""
EXACT = {"enable_fp_fusion": False}
"""Launches with it round every product and every sum by itself."""
OPS: Any = torch.library.Library("degree_quant", "FRAGMENT")  # type: ignore[no-untyped-call]
Launch = TypeVar("Launch", bound=Callable[..., Any])


def compiles() -> bool:
    """Whether Triton can compile for this machine's GPU."""
    return torch.version.cuda is not None and has_triton()


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Whether Triton is installed. Says once if it is not."""
    if find_spec("triton") is None:
        log.warning(
            "triton is not installed: on a GPU training takes plain torch ops, which are slower and add up neighbours "
            "in an order of their own"
        )
        return False
    return True


def takes(x: Tensor) -> bool:
    """Whether the kernels take this tensor; the torch formulas take any."""
    return x.is_cuda and x.dtype == torch.float32 and compiles()


def _kernels() -> ModuleType:
    from models.quantization.fused import gpu_kernels

    return gpu_kernels


def _flat(x: Tensor, protect: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Entries, the mask (or anything, if there is none) and entries a row."""
    x = x.detach().contiguous()
    width = max(1, x.numel() // max(1, x.shape[0])) if x.dim() else 1
    return x, x if protect is None else protect.contiguous().view(torch.uint8), width


def _blocks(entries: int) -> int:
    return max(1, -(-entries // BLOCK))


def _op(schema: str) -> Callable[[Launch], Launch]:
    """Makes a function an op of torch, which launches where its first tensor is: Triton takes the current GPU."""
    OPS.define(schema)
    name = schema.partition("(")[0]

    def define(launch: Launch) -> Launch:
        @wraps(launch)
        def there(first: Tensor, *others: Any) -> Any:
            with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
                return launch(first, *others)

        OPS.impl(name, there, "CompositeExplicitAutograd")
        return cast(Launch, getattr(torch.ops.degree_quant, name))

    return define


@_op("follow_ends(Tensor(a!) tracked, Tensor x, Tensor? protect, float momentum) -> ()")
def follow_ends(tracked: Tensor, x: Tensor, protect: Tensor | None, momentum: float) -> None:
    """Takes the smallest and the largest unprotected entry of `x` [N, ...] into a range [2]; see `move_range`."""
    kernels, (flat, mask, width) = _kernels(), _flat(x, protect)
    parts = torch.empty(_blocks(x.numel()), 2, device=x.device)
    kernels.block_ends[(len(parts),)](
        flat, mask, parts, x.numel(), width, MASKED=protect is not None, BLOCK=BLOCK, **EXACT
    )
    kernels.move_range[(1,)](parts, len(parts), tracked, MOMENTUM=momentum, BLOCK=BLOCK, **EXACT)


@_op(
    "follow_order(Tensor(a!) tracked, Tensor(b!) collapsed, Tensor x, Tensor? protect, Tensor? drawn, "
    "float low, float high, float momentum) -> ()"
)
def follow_order(  # noqa: PLR0917 - ops of torch
    tracked: Tensor,
    collapsed: Tensor,
    x: Tensor,
    protect: Tensor | None,
    drawn: Tensor | None,
    low: float,
    high: float,
    momentum: float,
) -> None:
    """The same with what leaves out shares of the entries at both ends; of a sample `drawn` if there is one."""
    kernels, (flat, mask, width) = _kernels(), _flat(x, protect)
    entries = torch.empty(x.numel() if drawn is None else drawn.numel(), device=x.device)
    counts = torch.empty(_blocks(len(entries)), dtype=torch.int64, device=x.device)
    kernels.block_entries[(len(counts),)](
        *(flat, mask, counts if drawn is None else drawn, entries, counts, len(entries), width),
        SAMPLED=drawn is not None,
        MASKED=protect is not None,
        BLOCK=BLOCK,
        **EXACT,
    )
    shares = {"LOW": low, "HIGH": high, "STEPS": len(entries).bit_length(), "MOMENTUM": momentum, "BLOCK": BLOCK}
    kernels.order_statistics[(1,)](
        *(entries.sort().values, counts, len(entries), len(counts), tracked, collapsed), **shares, **EXACT
    )


@_op("round_rows(Tensor x, Tensor? protect, Tensor scale, Tensor zero_point, int qmin, int qmax) -> (Tensor, Tensor)")
def round_rows(  # noqa: PLR0917 - ops of torch
    x: Tensor, protect: Tensor | None, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int
) -> tuple[Tensor, Tensor]:
    """Returns values on the grid, and which entries needed no clamp; rows set in `protect` pass unchanged."""
    flat, mask, width = _flat(x, protect)
    y, passed = torch.empty_like(flat), torch.empty(x.shape, dtype=torch.bool, device=x.device)
    options = {"QMIN": qmin, "QMAX": qmax, "MASKED": protect is not None, "BLOCK": BLOCK}
    _kernels().round_blocks[(_blocks(x.numel()),)](
        flat, mask, scale, zero_point, y, passed.view(torch.uint8), x.numel(), width, **options, **EXACT
    )
    return y, passed


@_op(
    "round_in_range(Tensor x, Tensor? protect, Tensor tracked, float margin, int qmin, int qmax, bool symmetric, "
    "bool power_of_two) -> (Tensor, Tensor)"
)
def round_in_range(  # noqa: PLR0917 - ops of torch
    x: Tensor,
    protect: Tensor | None,
    tracked: Tensor,
    margin: float,
    qmin: int,
    qmax: int,
    symmetric: bool,  # noqa: FBT001
    power_of_two: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor]:
    """The same onto the grid of a range [2] with its margin."""
    flat, mask, width = _flat(x, protect)
    y, passed = torch.empty_like(flat), torch.empty(x.shape, dtype=torch.bool, device=x.device)
    limits = {"MARGIN": margin, "QMIN": qmin, "QMAX": qmax, "SYMMETRIC": symmetric, "POWER_OF_TWO": power_of_two}
    _kernels().round_in_range[(_blocks(x.numel()),)](
        *(flat, mask, tracked, y, passed.view(torch.uint8), x.numel(), width),
        **limits,
        MASKED=protect is not None,
        BLOCK=BLOCK,
        **EXACT,
    )
    return y, passed


@_op("mask_gradient(Tensor gradient, Tensor passed) -> Tensor")
def mask_gradient(gradient: Tensor, passed: Tensor) -> Tensor:
    """Returns the gradient where `passed`, else 0."""
    gradient = gradient.contiguous()
    out = torch.empty_like(gradient)
    _kernels().mask_blocks[(_blocks(out.numel()),)](
        gradient, passed.view(torch.uint8), out, out.numel(), BLOCK=BLOCK, **EXACT
    )
    return out


@_op("step_gradients(Tensor gradient, Tensor x, Tensor y, Tensor passed, bool clips) -> (Tensor, Tensor)")
def step_gradients(  # noqa: PLR0917 - ops of torch
    gradient: Tensor,
    x: Tensor,
    y: Tensor,
    passed: Tensor,
    clips: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor]:
    """Gradients to x and the logarithm of a learned step. The sum is one of blocks, then one of their sums."""
    kernels, gradient, x = _kernels(), gradient.contiguous(), x.contiguous()
    out, total = torch.empty_like(gradient), torch.empty((), device=x.device)
    parts = torch.empty(_blocks(x.numel()), device=x.device)
    kernels.step_blocks[(len(parts),)](
        gradient, x, y, passed.view(torch.uint8), out, parts, x.numel(), CLIPS=clips, BLOCK=BLOCK, **EXACT
    )
    kernels.add_parts[(1,)](parts, len(parts), total, BLOCK=BLOCK, **EXACT)
    return out, total


@_op("add_rows(Tensor first, Tensor columns, Tensor? values, Tensor x) -> Tensor")
def add_rows(first: Tensor, columns: Tensor, values: Tensor | None, x: Tensor) -> Tensor:
    """Returns the sums [M, W] of rows of x [K, W] that a pattern (`sparse.Pattern`) names, each times its value.

    They are added in the order of the entries, as on the host, whatever that costs a row of very many.
    """
    x, rows, width = x.contiguous(), len(first) - 1, x.shape[1]
    out, tile = torch.empty(rows, width, device=x.device), min(1 << max(width - 1, 0).bit_length(), 128)
    weighted = values is not None
    operands = first, columns, values.contiguous() if values is not None else x, x, out, width
    if out.numel():
        grid = rows, -(-width // tile)
        warps = {"num_warps": 1 if tile <= 32 else 2}
        _kernels().add_rows[grid](*operands, WEIGHTED=weighted, AHEAD=8, COLUMNS=tile, **warps, **EXACT)
    return out
