"""A GPU without a GPU: tensors that say they are on `cuda:0`, compute on the CPU and refuse to meet tensors of the CPU.

It shows what a machine with a GPU would refuse: mixed devices, `numpy()`. It does not show what CUDA computes or costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda:0")
HOST = torch.device("cpu")
TO_THE_HOST = "aten::_local_scalar_dense"
COPIES = ("aten::copy_", "aten::_to_copy")


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
        return self.inner.tolist()

    def to_dense(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        """Goes by the layout of what it wraps."""
        return OnGpu(self.inner.to_dense())

    def cpu(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        return self.to(HOST)

    def to(self, *words: Any, **named: Any) -> torch.Tensor:  # type: ignore[override]
        """Leaves the GPU if a device is named that is not it."""
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


def unwrapped(x: Any) -> Any:
    return x.inner if isinstance(x, OnGpu) else x


def is_plain(x: Any) -> bool:
    """Whether it is a tensor, and not one on the GPU."""
    return isinstance(x, torch.Tensor) and not isinstance(x, OnGpu)


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
        with mock.patch.multiple(torch.cuda, **{name: mock.Mock(**how) for name, how in patches.items()}), Gpu():
            yield GPU
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
