"""Steps between layers that have no parameters: sums, concatenations, maxima, pools, dropout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from models.layers.functional import drop
from models.layers.graph import Incidence
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.sparse import AnyFeatures

Pool = Literal["mean", "sum", "max"]


class Add(nn.Module):
    """The sum of rows of equal width, each times its weight; the next site rounds it.

    Shapes:
        terms [N, F] each; result [N, F].
    """

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = [float(weight) for weight in weights]

    def forward(self, *terms: Tensor) -> Tensor:
        """See the class."""
        first, *others = (x if w == 1.0 else w * x for x, w in zip(terms, self.weights, strict=True))
        for other in others:
            first = first + other
        return first

    def lower(self, builder: ProgramBuilder, *terms: Ref) -> Deferred:
        """add, at the next site."""
        return builder.add(*terms, **({} if set(self.weights) == {1.0} else {"weights": self.weights}))


class Concatenate(nn.Module):
    """Rows side by side. Shapes: terms [N, F_i]; result [N, sum of F_i]."""

    def forward(self, *terms: Tensor) -> Tensor:
        """See the class."""
        return torch.cat(terms, 1)

    def lower(self, builder: ProgramBuilder, *terms: Ref | Deferred) -> Deferred:
        """Each term onto the grid of the next site, then concatenate."""
        return builder.concatenate(*terms)


class Maximum(nn.Module):
    """The largest of the entries at one place. Shapes: terms [N, F], or what is repeated to that; result [N, F]."""

    def forward(self, *terms: Tensor) -> Tensor:
        """See the class."""
        terms = torch.broadcast_tensors(*terms)  # type: ignore[no-untyped-call]
        return torch.stack(terms, -1).max(-1).values

    def lower(self, builder: ProgramBuilder, *terms: Ref | Deferred) -> Deferred:
        """Each term onto the grid of the next site, then maximum."""
        return builder.maximum(*terms)


class GraphPool(nn.Module):
    """Mean, sum or maximum over the nodes of every graph. Shapes: x [N, F]; result [G, F]."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool: Pool = pool

    def forward(self, x: Tensor, graphs: Incidence) -> Tensor:
        """See `pooled`."""
        return pooled(x, graphs, self.pool)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Deferred:
        """pool, at the next site."""
        return builder.pool(x, self.pool)


def pooled(x: Tensor, graphs: Incidence, pool: Pool) -> Tensor:
    """Mean, sum or maximum of x [N, F] over the nodes of every graph [G, F]; zero for a graph without nodes."""
    return POOLS[pool](x, graphs)


def _mean(x: Tensor, graphs: Incidence) -> Tensor:
    return graphs.sum(x) * graphs.counts.clamp(min=1).reciprocal()[:, None]


def _sum(x: Tensor, graphs: Incidence) -> Tensor:
    return graphs.sum(x)


def _max(x: Tensor, graphs: Incidence) -> Tensor:
    largest: Tensor = scatter(x, graphs.index, dim_size=graphs.num_nodes, reduce="max")
    return largest


POOLS: Mapping[Pool, Callable[[Tensor, Incidence], Tensor]] = {"mean": _mean, "sum": _sum, "max": _max}


class Dropout(nn.Module):
    """Inverted dropout where no layer behind it can apply it to its quantized inputs. Shapes: any."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: AnyFeatures) -> AnyFeatures:
        """See `drop`."""
        return drop(x, self.p, training=self.training)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """Nothing: there is none in evaluation."""
        return x
