"""Acts on all sites of a model at once: observers on and off, ranges out and in, synchronised over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.quantization.fake_quantize import FakeQuantize
from models.quantization.protection import Protection
from models.quantization.sparse import Features, SparseRows


def quantizers(model: nn.Module) -> Iterator[FakeQuantize]:
    """The fake-quantizers of a model, in definition order."""
    return (module for module in model.modules() if isinstance(module, FakeQuantize))


def protections(model: nn.Module) -> Iterator[Protection]:
    """The mask samplers of a model."""
    return (module for module in model.modules() if isinstance(module, Protection))


def set_observing(model: nn.Module, observing: bool) -> None:
    """Switches all range trackers on or off."""
    for quantizer in quantizers(model):
        quantizer.observing.fill_(observing)


@torch.no_grad()
def calibrate(model: nn.Module, forward: Callable[[], object]) -> None:
    """Sets all ranges from one evaluation forward: no dropout, no masks, no noise, nothing trained.

    Sites observe one after the other, each seeing its inputs as the sites before it quantize them; frozen
    trackers observe too. Leaves the model in evaluation mode.
    """
    model.eval()
    hooks = [quantizer.register_forward_pre_hook(_observe) for quantizer in quantizers(model)]
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()


def _observe(quantizer: FakeQuantize, inputs: tuple[Features, ...]) -> None:
    x = inputs[0]
    quantizer.observer(x.values if isinstance(x, SparseRows) else x)


def synchronise_ranges(model: nn.Module) -> None:
    """Gives every rank the same ranges, by one collective for all sites.

    Running ranges become the union over ranks; momentum ranges the mean over the ranks that have seen data.
    Does nothing without a process group.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    observers = [quantizer.observer for quantizer in quantizers(model)]
    if not observers:
        return
    mine = torch.stack([observer.range for observer in observers])
    everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, mine)
    for observer, ranks in zip(observers, torch.stack(everyone, dim=1), strict=True):
        seen = ranks[~ranks[:, 0].isnan()]
        if len(seen):
            observer.range.copy_(_combine(seen, observer.config.accumulation == "running"))


def _combine(ranges: Tensor, running: bool) -> Tensor:
    """One range [2] from those of several ranks [R, 2]."""
    return torch.stack([ranges[:, 0].amin(), ranges[:, 1].amax()]) if running else ranges.mean(0)
