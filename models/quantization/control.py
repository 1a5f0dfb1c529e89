"""Acts on all sites of a model at once: finds them, switches them, calibrates and synchronises ranges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.learned_step import LearnedStep
from models.quantization.protection import Protection
from models.quantization.ranks import gather_from_ranks, has_other_ranks, merge_ranges
from models.quantization.sparse import Features, SparseRows

Hook = TypeVar("Hook", bound=Callable[..., Any])


def quantizers(model: nn.Module) -> Iterator[FakeQuantize]:
    """Iterates over the fake-quantizers of a model that track a range, in definition order."""
    return (module for module in model.modules() if isinstance(module, FakeQuantize))


def has_ranges(model: nn.Module) -> bool:
    """Whether every fake-quantizer knows its range, so that the model can be evaluated."""
    return all(quantizer.observer.bounds is not None for quantizer in quantizers(model))


def step_sizes(model: nn.Module) -> list[nn.Parameter]:
    """Returns the learned step sizes of a model."""
    return [quantizer.log_step for quantizer in quantizers(model) if isinstance(quantizer, LearnedStep)]


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns all parameters of a model by name, except for learned step sizes."""
    steps = {id(step) for step in step_sizes(model)}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) not in steps}


def protections(model: nn.Module) -> Iterator[Protection]:
    """Iterates over the modules of a model that draw protection masks."""
    return (module for module in model.modules() if isinstance(module, Protection))


def set_observing(model: nn.Module, *, observing: bool) -> None:
    """Switches all range observers on or off."""
    for quantizer in quantizers(model):
        quantizer.observing = observing


@torch.no_grad()
def calibrate(model: nn.Module, forward: Callable[[], object]) -> None:
    """Sets all ranges from one forward pass in evaluation: no dropout, no masks, no noise, nothing is trained.

    Each site observes its inputs as the sites before it have quantized them; frozen observers observe too. Leaves the
    model in evaluation mode.

    Args:
        forward: runs the model on the calibration data.
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


def is_watched(part: nn.Module) -> bool:
    """Whether a module has a hook that is not marked by `takes_blocks`."""
    hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
    return not all(getattr(hook, "takes_blocks", False) for hook in hooks)


def takes_blocks(hook: Hook) -> Hook:
    """Marks a hook that may be called for one block of rows after the other: it sees each row once, in their order."""
    hook.takes_blocks = True  # type: ignore[attr-defined]
    return hook


def synchronise_ranges(model: nn.Module) -> None:
    """Gives every rank the same ranges, by one collective for all sites.

    Running ranges become the union over the ranks, momentum ranges the mean over the ranks that have seen data.
    Does nothing without a process group.
    """
    observers = [quantizer.observer for quantizer in quantizers(model)]
    if not observers or not has_other_ranks():
        return
    counts = [observer.range.numel() // 2 for observer in observers]  # several where features have ranges of their own
    everyone = gather_from_ranks(torch.cat([observer.range.view(-1, 2) for observer in observers]))
    union, mean = merge_ranges(everyone), merge_ranges(everyone, average=True)
    merged = [
        (of_mean if observer.config.accumulation == "momentum" else of_union).view_as(observer.range)
        for observer, of_union, of_mean in zip(
            observers, torch.split(union, counts), torch.split(mean, counts), strict=True
        )
    ]
    torch._foreach_copy_([observer.range for observer in observers], merged)


def rounding_sites(network: nn.Module) -> Iterator[Site]:
    """Yields the sites of a network that round."""
    return (part for part in network.modules() if isinstance(part, Site) and part.bits < 32)


@contextmanager
def rounding_only(network: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Within the context only the sites of these names round; the others pass values on as in an FP32 network."""
    replaced = [
        (owner, name, site)
        for owner in network.modules()
        for name, site in owner.named_children()
        if isinstance(site, Site) and site.name not in names
    ]
    for owner, name, site in replaced:
        owner.add_module(name, Site(site.name, site.domain))
    try:
        yield
    finally:
        for owner, name, site in replaced:
            owner.add_module(name, site)
