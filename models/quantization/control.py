"""Acts on all sites of a model at once: observers on and off, ranges out and in, synchronised over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from models.quantization.fake_quantize import FakeQuantize
from models.quantization.learned_step import LearnedStep
from models.quantization.protection import Protection
from models.quantization.ranks import of_every_rank, one_range
from models.quantization.sparse import Features, SparseRows


def quantizers(model: nn.Module) -> Iterator[FakeQuantize]:
    """The fake-quantizers of a model, in definition order."""
    return (module for module in model.modules() if isinstance(module, FakeQuantize))


def has_ranges(model: nn.Module) -> bool:
    """Whether every fake-quantizer knows its range, so that the model can be evaluated."""
    return all(quantizer.observer.ends is not None for quantizer in quantizers(model))


def step_sizes(model: nn.Module) -> list[nn.Parameter]:
    """The learned step sizes of a model."""
    return [quantizer.log_step for quantizer in quantizers(model) if isinstance(quantizer, LearnedStep)]


def weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The other parameters of a model, by name."""
    steps = {id(step) for step in step_sizes(model)}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) not in steps}


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
    quantizer.observe(x.values if isinstance(x, SparseRows) else x)


def synchronise_ranges(model: nn.Module) -> None:
    """Gives every rank the same ranges, by one collective for all sites.

    Running ranges become the union over ranks; momentum ranges the mean over the ranks that have seen data.
    Does nothing without a process group.
    """
    observers = [quantizer.observer for quantizer in quantizers(model)]
    if not observers:
        return
    everyone = of_every_rank(torch.stack([observer.range for observer in observers]))
    if len(everyone) == 1:
        return
    for observer, ranks in zip(observers, everyone.unbind(1), strict=True):
        observer.range.copy_(one_range(ranks, averaged=observer.config.accumulation == "momentum"))
