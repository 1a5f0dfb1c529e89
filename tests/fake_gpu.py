"""A GPU without a GPU: tensors that say they are on `cuda:0`, compute on the CPU and refuse to meet tensors of the CPU.

It shows what a machine with a GPU would refuse: mixed devices, `numpy()`; and where it would make the host wait (see
`host_waits`). It does not show what CUDA computes or costs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda:0")
HOST = torch.device("cpu")
TO_THE_HOST = "aten::_local_scalar_dense"
COPIES = ("aten::copy_", "aten::_to_copy")
WAIT = (
    *(TO_THE_HOST, "aten::is_nonzero", "aten::equal", "aten::nonzero", "aten::masked_select", "aten::bincount"),
    *("aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::_to_sparse", "aten::_to_sparse_csr"),
)
"""Ops of CUDA that need a number, or the size of their result, on the host."""
SCATTER = ("aten::scatter_add", "aten::index_add", "aten::scatter_reduce", "aten::index_reduce", "aten::index_put")
"""Ops of CUDA that may add in an order of their own, another one in every run."""
ROOT = f"{Path(__file__).parents[1]}/"


class OnGpu(torch.Tensor):
    """Wraps a tensor of the CPU."""

    inner: torch.Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGpu:
        strided = inner.layout is torch.strided
        layout: Any = {"strides": inner.stride(), "storage_offset": inner.storage_offset()} if strided else {}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device=HOST, **layout)
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it claims to be."""
        return GPU

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        """That of what it wraps."""
        return self.inner.layout

    is_cuda, is_cpu = True, False  # type: ignore[assignment]

    def __repr__(self, **words: Any) -> str:
        return f"OnGpu({self.inner!r})"

    def numpy(self, *, force: bool = False) -> Any:
        """Refuses, as torch does."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def __format__(self, form: str) -> str:
        return self.inner.__format__(form)

    def tolist(self) -> Any:
        waits("tolist")
        return self.inner.tolist()

    def to_dense(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        """Goes by the layout of what it wraps."""
        return OnGpu(self.inner.to_dense())

    def cpu(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        return self.to(HOST)

    def to(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        """Leaves the GPU if a device is named that is not it."""
        if words and isinstance(words[0], OnGpu):  # "as that one": torch sees what it wraps
            words = (words[0].dtype, *words[1:])
        device, dtype, *_ = torch._C._nn._parse_to(*words, **named)
        moved = _Leave.apply(self) if device is not None and device.type == "cpu" else self
        return moved if dtype is None else moved.type(dtype)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Is saved as a tensor of the CPU: so it is loaded with `map_location="cpu"`."""
        return self.inner.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        made = OnGpu(self.inner.clone())
        memo[id(self)] = copied = torch.nn.Parameter(made) if isinstance(self, torch.nn.Parameter) else made
        return copied.requires_grad_(self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(op, args, kwargs or {})


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: OnGpu) -> torch.Tensor:
        waits("copy to the host")
        return x.inner.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return OnGpu(gradient)


class Gpu(TorchDispatchMode):
    """Makes tensors that are asked for on the GPU, or copied to it."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_gpu(kwargs.get("device")) or any(isinstance(x, OnGpu) for x in tree_leaves((args, kwargs))):
            return compute(op, args, kwargs)
        return op(*args, **kwargs)


def is_gpu(device: Any) -> bool:
    """Whether a device is named and is the GPU."""
    return device is not None and torch.device(device).type == "cuda"


def compute(op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Computes an op on what the tensors wrap, and wraps the result.

    Raises:
        RuntimeError: if a tensor of the CPU that is no mere number is among them, unless the op copies.
    """
    name, leaves = op._schema.name, tree_leaves((args, kwargs))
    here = [x for x in leaves if isinstance(x, OnGpu)]
    there = [x for x in leaves if isinstance(x, torch.Tensor) and not isinstance(x, OnGpu) and x.dim() > 0]
    if here and there and name not in COPIES:
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but got cuda:0 and cpu")
    if must_wait(name, args, kwargs):
        waits(name)
    if adds_in_no_order(name, args, kwargs):
        noted("sum", name)
    device = kwargs.get("device")
    inner_args, inner_kwargs = tree_map(unwrapped, (args, dict(kwargs)))
    if device is not None:
        inner_kwargs["device"] = HOST
    result = op(*inner_args, **inner_kwargs)
    if name == TO_THE_HOST or (device is not None and not is_gpu(device) and not here):
        return result
    if name.endswith("_") and isinstance(args[0], torch.Tensor):
        return args[0]
    known = {id(x.inner): x for x in here}
    of_normal = bool(here) and op.is_view and not here[0].is_inference()  # then it is no inference tensor, in no mode
    with torch.inference_mode(torch.is_inference_mode_enabled() and not of_normal):
        return tree_map(lambda x: known[id(x)] if id(x) in known else OnGpu(x) if is_plain(x) else x, result)


class _Autocast(torch.autocast):
    """On the GPU it casts what is computed on the CPU instead."""

    def __init__(self, device_type: str, *words: Any, **named: Any) -> None:
        super().__init__("cpu" if is_gpu(device_type) else device_type, *words, **named)


_COUNTS: dict[str, Counter[str]] = {}


@contextmanager
def _counted(kind: str) -> Iterator[Counter[str]]:
    """Within it, counts what is `noted` of a kind, by op and line of this project."""
    _COUNTS[kind] = Counter()
    try:
        yield _COUNTS[kind]
    finally:
        del _COUNTS[kind]


def host_waits() -> AbstractContextManager[Counter[str]]:
    """Within it, counts what makes the host wait for the GPU."""
    return _counted("wait")


def unordered_sums() -> AbstractContextManager[Counter[str]]:
    """Within it, counts sums that CUDA adds in an order of its own."""
    return _counted("sum")


def adds_in_no_order(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether CUDA adds numbers that meet at one place in no certain order; largest and smallest ones need none."""
    if name.startswith("aten::index_put"):
        return bool(kwargs.get("accumulate", args[3:4] == (True,)))
    return name.startswith(SCATTER) and not {"amax", "amin"} & {x for x in args if isinstance(x, str)}


def must_wait(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether CUDA makes the host wait for this op: it reads a number, or the result's size depends on values."""
    if name == "aten::repeat_interleave":
        return kwargs.get("output_size") is None
    if name.startswith("aten::index"):
        return any(is_mask(index) for index in tree_leaves(args[1:2]))
    if name == "aten::copy_":
        return not isinstance(args[0], OnGpu)
    return name in WAIT


def is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def waits(what: str) -> None:
    """Counts a wait, if they are counted."""
    noted("wait", what)


def noted(kind: str, what: str) -> None:
    """Counts an op and the line of this project that asked for it, if ops of this kind are counted."""
    if kind not in _COUNTS:
        return
    frame: Any = sys._getframe(1)
    while frame and not is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename.removeprefix(ROOT)}:{frame.f_lineno}" if frame else "torch"
    _COUNTS[kind][f"{what} @ {place}"] += 1


def is_ours(file: str) -> bool:
    """Whether a file is of this project; its environment may lie in its folder."""
    return file.startswith(ROOT) and file != __file__ and "site-packages" not in file


def unwrapped(x: Any) -> Any:
    return x.inner if isinstance(x, OnGpu) else x


def is_plain(x: Any) -> bool:
    """Whether it is a tensor, and not one on the GPU."""
    return isinstance(x, torch.Tensor) and not isinstance(x, OnGpu)


@contextmanager
def some_gpu() -> Iterator[None]:
    """Within it there is a GPU: that of this machine, or a fake one."""
    with nullcontext() if torch.cuda.is_available() else fake_gpu():
        yield


@contextmanager
def fake_gpu() -> Iterator[torch.device]:
    """Within it torch and Lightning find one GPU, and computing on it works."""
    none = {"side_effect": lambda *words, **named: None}
    patches = {
        "is_available": {"return_value": True},
        "device_count": {"return_value": 1},
        "current_device": {"return_value": 0},
        "get_device_name": {"return_value": "Fake GPU"},
        "get_device_capability": {"return_value": (0, 0)},
        **dict.fromkeys(("_lazy_init", "set_device", "empty_cache", "synchronize", "manual_seed_all"), none),
    }
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a wrapper cannot become the data of a parameter
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(..., device=)` makes it on the CPU, then moves it
    try:
        with (
            mock.patch.multiple(torch.cuda, **{name: mock.Mock(**how) for name, how in patches.items()}),
            mock.patch.object(torch.Tensor, "pin_memory", lambda x: x),
            mock.patch.object(torch, "autocast", _Autocast),
            mock.patch.object(torch.backends.cuda, "is_built", return_value=False),  # or Adam asks for streams
            mock.patch.object(torch.accelerator, "current_accelerator", return_value=None),  # so do others
            mock.patch.object(torch.version, "cuda", None),  # Triton can take no address of a fake tensor
            Gpu(),
        ):
            yield GPU
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
