"""Sites: the named places where a layer lets a tensor be quantized.

A layer calls `site(x, protect)` and knows nothing of schemes; `Sites` hands out a pass-through or a
fake-quantizer as the scheme resolves for that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor, nn

from app.engine.program.grid import Grid, code_limits, quantize
from models.quantization.fused import device, gpu
from models.quantization.fused.device import DeviceGrid
from models.quantization.fused.noise import with_noise
from models.quantization.fused.rounding import Roundable, Rounded, StoredTensor, round_onto, straight_through
from models.quantization.host_state import HostState
from models.quantization.observers import Observer
from models.quantization.qconfig import Domain, Part, SiteConfig
from models.quantization.range_grids import RANGE_MARGIN, grid_with_margin, scale_and_zero_point
from models.quantization.sparse import Features, SparseRows

if TYPE_CHECKING:
    from models.quantization.builder import Deferred, ProgramBuilder, Ref


class NamedPlace(nn.Module):
    """A place in a network that values pass.

    Attributes:
        name: the path of its layer and its role there (see `ROLES` in sites.py).
        domain: where its tensor lives.
    """

    def __init__(self, name: str, domain: Domain) -> None:
        super().__init__()
        self.name, self.domain = name, domain

    @property
    def role(self) -> str:
        """What it is for in its layer."""
        return self.name.rpartition(".")[2]

    if TYPE_CHECKING:  # torch's own signature says nothing: a place returns what it is given

        @overload
        def __call__(self, x: Tensor, protect: Tensor | None = None) -> Tensor: ...
        @overload
        def __call__(self, x: Any, protect: Tensor | None = None) -> Any: ...
        def __call__(self, x: Any, protect: Tensor | None = None) -> Any:
            """What becomes of `x`; see `forward`."""


class Site(NamedPlace):
    """A named place that passes its input through: all an FP32 model has.

    Attributes:
        part: where in the network it is.
        parameter: which parameter of its layer it quantizes; None: it quantizes values.
    """

    parameter: str | None = None
    part: Part = "trunk"

    def forward(self, x: Features, protect: Tensor | None = None) -> Features:
        """Shapes: x [N, ...] dense, or sparse rows [N, F]; protect [N] bool, the rows to keep in FP32."""
        if isinstance(x, SparseRows):
            rows = None if protect is None else protect.index_select(0, x.pattern.rows)
            return x.with_values(self.quantized(x.values, rows))
        return self.quantized(x, protect)

    @property
    def output_site(self) -> Site:
        """Itself: a site may be a step of a network."""
        return self

    @property
    def bits(self) -> int:
        """Bits of the codes; 32: float."""
        return 32

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """What becomes of a dense tensor here."""
        return x

    def grid(self) -> Grid:
        """The values this site lets through.

        Raises:
            ValueError: for a site that does not quantize, or whose observer never saw data.
        """
        raise ValueError(f"site {self.name} is in FP32: an integer program needs every site quantized")

    def limits(self) -> tuple[float, float, float]:
        """Smallest and largest value of the grid, and its step."""
        grid = self.grid()
        return (grid.qmin - grid.zero_point) * grid.scale, (grid.qmax - grid.zero_point) * grid.scale, grid.scale

    def column_scales(self, weight: Tensor) -> Tensor | None:
        """What multiplies the values of each column of a weight [F, F'] beside the grid's scale; None: nothing."""
        return None

    def carried(self, x: Tensor) -> Tensor:
        """What goes on in place of values x [N, F]: themselves, or multiples of each feature's step."""
        return x

    def restored(self, x: Tensor) -> Tensor:
        """The values of what was carried, or of what linear maps of each feature made of it [..., F]."""
        return x

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """Brings `x` onto the grid."""
        return builder.quantize(x, self)

    def aligned(self, x: Tensor) -> Tensor:
        """What is rounded onto the grid in place of `x`: itself, where all features have the same grid."""
        return x

    def codes(self, x: Tensor) -> Tensor:
        """Codes of `x` on the grid, int32: what export writes and the engine must reproduce."""
        grid = self.grid()
        return quantize(self.aligned(x.detach()), grid.scale, grid.zero_point, grid.qmin, grid.qmax).int()


class Unrounded(NamedPlace):
    """Stands where a site would be, for values that something behind it rounds: they go on as they are.

    It is no site: it counts in no table of bits, nothing can override it, and no code is made there. A program goes on
    with what its accumulators hold.
    """

    output_site = None
    """A result that is not rounded has none."""

    def forward(self, x: Features, protect: Tensor | None = None) -> Features:
        """Returns x."""
        return x

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """Nothing."""
        return x


class FakeQuantize(HostState, Site):
    """Tracks the range of a tensor in training and rounds the tensor onto the grid of that range (Jacob et al. 2018).

    Attributes:
        observing: whether training steps move the range; checkpoints keep it.
    """

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain)
        self.config = config
        self.observer = Observer(config.observer)
        self.observing = True
        self._range_is_known = False
        self.register_load_state_dict_post_hook(_forget_range)  # type: ignore[no-untyped-call]

    @property
    def host_state(self) -> tuple[str, ...]:
        """What decides, before anything is computed, how a step goes."""
        return ("observing",)

    @property
    def bits(self) -> int:
        """Bits of the codes."""
        return self.config.bits

    @property
    def only_rounds(self) -> bool:
        """Whether `observe_and_round` is all that happens here, so that an operation may fuse it with its own work."""
        return self.training and self.config.noise is None

    def observe(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Updates the range with the unprotected rows of `x`, in training and in evaluation."""
        self._range_is_known = False
        self.observer(x, protect)

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Rounds `x` onto the grid; in noisy training only a random part of its entries.

        Numbers of half precision (of `bf16-mixed`, say) leave as float32: codes are those of programs.
        """
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        y = self.rounded(x, protect)
        return with_noise(y, x, self.config.noise) if self.training else y

    def rounded(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Rounds all entries of unprotected rows, with a straight-through gradient.

        Shapes:
            x [N, ...]; protect [N] or None.
        """
        stored = StoredTensor(x, protect)
        rounded = self.observe_and_round(stored) if x.device.type == "cpu" else self._round_on_device(stored)
        return straight_through(x, rounded, self.config.gradient)

    def _round_on_device(self, x: StoredTensor) -> Rounded:
        """The same as `observe_and_round`, in which no step waits for the device."""
        if self.training and self.observing:
            self.observe(*x)
        if not gpu.takes(x.x):
            return round_onto(x.x, self.device_grid(), x.protect)
        self.check_range()
        tracked, settings = self.observer.range, (*self._limits, self._symmetric, self.config.power_of_two)
        on_grid, unclamped = gpu.round_in_range(x.x.detach(), x.protect, tracked, RANGE_MARGIN, *settings)
        return Rounded(on_grid, unclamped, None)

    def check_range(self) -> None:
        """Checks in evaluation that there is a range, and not again until it moves: to ask is to wait for the device.

        Raises:
            ValueError: if no data was seen. In training the loss is NaN then.
        """
        if not (self.training or self._range_is_known):
            self.grid()
            self._range_is_known = True

    def device_grid(self) -> DeviceGrid:
        """The grid of the tracked range, where the range is; see `check_range`."""
        self.check_range()
        lo, hi = (self.observer.range.double() * RANGE_MARGIN).float().unbind()
        scale, zero_point = scale_and_zero_point(lo, hi, self._limits, symmetric=self._symmetric)
        scale = device.power_of_two_from(scale) if self.config.power_of_two else scale
        return DeviceGrid(scale, zero_point, *self._limits)

    @property
    def _limits(self) -> tuple[int, int]:
        return code_limits(self.config.bits, signed=self.config.signed)

    @property
    def _symmetric(self) -> bool:
        return self.config.symmetric and self.config.signed

    def observe_and_round(self, x: Roundable) -> Rounded:
        """Updates the range with `x` if this step observes, then rounds `x` onto the grid of the range.

        Raises:
            ValueError: if the observer never saw data.
        """
        if not (self.training and self.observing):
            return x.round_onto(self.grid())
        bounds = self.observer.bounds
        if bounds is not None and self.observer.only_widens:
            return self._round_and_count(x, bounds)
        self.observer(x.tensor(), x.protect)
        return x.round_onto(self.grid())

    def _round_and_count(self, x: Roundable, bounds: tuple[float, float]) -> Rounded:
        """The same for a range that only widens, in one pass over `x` in nearly all steps.

        Such a range rarely moves. So `x` is rounded onto the grid of the present range, and its entries are counted
        in the same pass; only if the counts make the range move, `x` is rounded again.
        """
        rounded = x.round_onto(self._grid_of(bounds), self.observer.tracked(bounds))
        assert rounded.census is not None
        moved = self.observer.widen(rounded.census, x)
        return x.round_onto(self.grid()) if moved else rounded

    def grid(self) -> Grid:
        """The grid of the tracked range; its scale is exactly a float32.

        Raises:
            ValueError: if the observer never saw data.
        """
        bounds = self.observer.bounds
        if bounds is None:
            why = "its range tracker has not seen any data, or NaN; train or calibrate first"
            raise ValueError(f"site {self.name}: {why}")
        return self._grid_of(bounds)

    def _grid_of(self, bounds: tuple[float, float]) -> Grid:
        config = self.config
        return grid_with_margin(
            *bounds,
            bits=config.bits,
            signed=config.signed,
            symmetric=config.symmetric,
            power_of_two=config.power_of_two,
        )

    def extra_repr(self) -> str:
        """Bits and signedness."""
        return f"{self.name}, bits={self.config.bits}, signed={self.config.signed}"


def _forget_range(site: FakeQuantize, _: object) -> None:
    """Another state may have no range."""
    site._range_is_known = False
