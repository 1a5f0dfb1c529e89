"""Batch normalisation, folded into one multiplication and one addition outside training."""

from __future__ import annotations

from torch import Tensor, nn

from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.control import named_weights


class BatchNorm(nn.BatchNorm1d):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias for every feature (Ioffe & Szegedy 2015).

    Unfolded in training, over the rows of the batch. In evaluation x * scale + shift with the tracked statistics:
    what the integer program does, so that both round the same numbers.

    Shapes:
        x [N, F]; result [N, F].
    """

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and shift [F], formed in float64 and rounded once."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        scale = 1.0 / (variance.double() + self.eps).sqrt()
        shift = -mean.double() * scale
        if self.affine:
            scale = self.weight.double() / (variance.double() + self.eps).sqrt()
            shift = self.bias.double() - mean.double() * scale
        return scale.float(), shift.float()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.training:
            return super().forward(x)
        scale, shift = self.folded()
        return x * scale + shift

    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """Part of the next requantize."""
        return builder.affine(x, *self.folded())


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and the statistics BatchNorm tracks, by name: all of a state but ranges, steps and masks."""
    norms = [f"{name}." for name, part in module.named_modules() if isinstance(part, BatchNorm)]
    tracked = {name: value for name, value in module.state_dict().items() if name.startswith(tuple(norms))}
    return tracked | {name: weight.detach() for name, weight in named_weights(module).items()}
