"""Kinds of node features: measurements, which are standardised, and categories, which are embedded or one-hot."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from datamodules.classes import Label
from datamodules.errors import DataError
from datamodules.storage import offsets, place_of

FeatureKind = Literal["auto", "categories", "numbers"]
KINDS = ("auto", "categories", "numbers")
LARGEST_CATEGORY = 10**7
"""An embedding has a row for each; larger numbers are hashes or measurements."""


@dataclass(frozen=True)
class Features:
    """Features of all nodes of a data set.

    Attributes:
        x: [N, F] float32, or [N, 1] int64 where each node has one category.
        width: F, or the number of categories.
        remark: what was taken for what, if that is not obvious; else empty.
        categories: of columns that were made one-hot, the distinct codes of each.
    """

    x: Tensor
    width: int
    remark: str = ""
    categories: Sequence[Sequence[int]] = ()


def number_of_categories(name: str, codes: Tensor, place: Callable[[int], str], otherwise: str) -> int:
    """Returns how many categories there are for a column of whole numbers [N, 1], from 0 on.

    Args:
        place: says which node has the code of a row, for messages.
        otherwise: what to do with numbers that are none.

    Raises:
        DataError: for numbers below 0, and for very large ones.
    """
    wrong = ((codes < 0) | (codes > LARGEST_CATEGORY)).flatten()
    if wrong.any():
        row = int(wrong.int().argmax())
        raise DataError(
            f"{name}: {place(row)}: `x` is the category {int(codes[row])}: number categories from 0 on, or {otherwise}"
        )
    return int(codes.max()) + 1


def interpret(
    name: str, x: Tensor, num_nodes: Tensor, kind: FeatureKind, *, known: Sequence[Sequence[int]] = ()
) -> Features:
    """Decides what the columns of `x` [N, F], of any dtype, are; `num_nodes` [G] says which graph a row belongs to.

    "auto": one column of an integer dtype is a category, anything else is measurements. "categories": one column is
    a category of each node, several become one-hot columns, side by side. "numbers": measurements.

    Args:
        known: the codes of one-hot columns that a network was trained with; none: those that are there.

    Raises:
        DataError: for categories below 0 or with a fraction, or none of the known ones.
    """
    whole = not x.is_floating_point() and x.dtype != torch.bool
    if kind == "numbers" or (kind == "auto" and not (whole and x.size(1) == 1)):
        several = kind == "auto" and whole and bool((x > 1).any() | (x < 0).any())
        remark = (
            f"the {x.size(1)} whole-number columns of `x` are taken for measurements (data.features: categories makes "
            "them one-hot)"
        )
        return Features(x.float(), x.size(1), remark if several else "")
    codes = x.long()
    fraction = (codes.to(x.dtype) != x).any(1)
    if fraction.any():
        place = place_of(int(fraction.int().argmax()), num_nodes, "node")
        raise DataError(f"{name}: {place}: `x` is no whole number, so no category: data.features: numbers")
    if x.size(1) == 1:
        width = number_of_categories(
            name,
            codes,
            lambda row: place_of(row, num_nodes, "node"),
            "take them for measurements by data.features: numbers",
        )
        remark = (
            f"the whole-number column of `x` is taken for one of {width} categories, for an embedding "
            "(data.features: numbers makes it a measurement)"
        )
        return Features(codes, width, remark if kind == "auto" else "")
    distinct = known or [torch.unique(column).tolist() for column in codes.T]
    if len(distinct) != codes.size(1):
        raise DataError(f"{name}: `x` has {codes.size(1)} columns, the network was trained with {len(distinct)}")
    unknown = torch.stack([~torch.isin(column, torch.tensor(of)) for column, of in zip(codes.T, distinct, strict=True)])
    if unknown.any():
        row = int(unknown.any(0).int().argmax())
        place, code = place_of(row, num_nodes, "node"), int(codes[row][unknown[:, row]][0])
        raise DataError(f"{name}: {place}: `x` is the category {code}, which the network was not trained with")
    columns = [one_hot_of(column, of) for column, of in zip(codes.T, distinct, strict=True)]
    return Features(encoded := torch.cat(columns, dim=1), encoded.size(1), categories=distinct)


def one_hot_of(codes: Tensor, distinct: Sequence[int]) -> Tensor:
    """Returns [N, C] float32 with a one in the column of each code's place among the C distinct, ascending ones."""
    return one_hot(torch.searchsorted(torch.tensor(distinct), codes.contiguous()), len(distinct)).float()


@dataclass(frozen=True)
class Scaling:
    """What was done to measurements: a network reads (x - mean) / deviation, computed in float64, as float32.

    Columns that stay as they are have mean 0 and deviation 1.

    Attributes:
        single: whether it was computed in float32.

    Shapes:
        mean, deviation [F] float64, in the units of the data.
    """

    mean: Tensor
    deviation: Tensor
    single: bool = False

    @classmethod
    def of(cls, x: Tensor, chosen: Tensor) -> Scaling:
        """Returns the scaling that gives each column of measurements [N, F] mean 0 and deviation 1 over `chosen` [N].

        Columns of nothing but 0 and 1 stay as they are: they say yes or no. So does one that is constant over
        `chosen`, but for its mean.
        """
        values = x[chosen].double()
        deviation, mean = torch.std_mean(values, dim=0, correction=1 if len(values) > 1 else 0)
        constant, indicator = (values == values[:1]).all(0), ((x == 0) | (x == 1)).all(0)
        return cls(
            mean=torch.where(indicator, 0.0, torch.where(constant, values[0], mean)),
            deviation=torch.where(indicator | constant, 1.0, deviation),
        )

    def of_width(self, width: int) -> Scaling:
        """Returns the same for `width` columns, of which those behind these stay as they are."""
        zeros = self.mean.new_zeros(width - len(self.mean))
        return Scaling(torch.cat([self.mean, zeros]), torch.cat([self.deviation, zeros + 1.0]))

    def of_first(self, width: int) -> Scaling:
        """Returns the same for the first `width` columns alone."""
        return Scaling(self.mean[:width], self.deviation[:width])

    def applied(self, x: Tensor) -> Tensor:
        """Returns measurements [N, F] as a network reads them, float32."""
        return ((x.double() - self.mean) / self.deviation).float()

    def as_numbers(self) -> dict[str, list[float]]:
        """Returns mean and deviation of each column as plain numbers, for files."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}


@dataclass(frozen=True)
class Known:
    """What a run knows of the data it was trained on, by which other data is read for its network.

    Attributes:
        num_features: width of the features.
        classes: the name of each class, or label, or of several numbers to predict.
        categories: for each column of categories that were made one-hot, what they were.
        scaling: of measurements; None where they are read as they are.
        preparation: what made `x` of raw features, see `GraphDataModule`; None: a run of an older version does not say.
    """

    num_features: int
    classes: list[Label]
    categories: Sequence[Sequence[int]]
    scaling: Scaling | None
    preparation: Sequence[str] | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns what a run keeps of it, beside the scaling."""
        parts = ("num_features", "classes", "categories", "preparation")
        return {part: getattr(self, part) for part in parts}

    @property
    def class_names(self) -> tuple[Label, ...]:
        """What `GraphDataModule.class_names` was: nothing where labels are 0, 1, ... themselves."""
        return () if self.classes == list(range(len(self.classes))) else tuple(self.classes)

    @property
    def of_numbers(self) -> bool:
        """Whether the network surely reads measurements, for they were scaled; so a whole number is no category."""
        return self.scaling is not None or bool(self.preparation)

    def check_width(self, name: str, width: int, *, categories: bool = False) -> None:
        """Raises DataError unless data of this width of features, or number of categories, fits the network."""
        if (width > self.num_features) if categories else (width != self.num_features):
            have = f"{width} categories" if categories else "1 feature" if width == 1 else f"{width} features"
            raise DataError(f"{name}: nodes have {have}, the network was trained with {self.num_features}")

    def check_degrees(self, name: str, *, read: bool) -> None:
        """Raises DataError unless in-degrees are features here (`read`) as in training, or in neither."""
        if self.preparation is not None and read != ("in_degree" in self.preparation):
            have, was = ("no features", "some") if read else ("features", "the in-degree of each node instead")
            raise DataError(f"{name}: nodes have {have}, the network was trained with {was}")

    @classmethod
    def read(cls, path: str) -> Known:
        """Reads the `data.json` of a run.

        Raises:
            DataError: if there is none, or one of an older version, which kept less.
        """
        try:
            kept = json.loads(Path(path).read_text(encoding="utf-8"))
            given = kept.get("scaling")
            mean, deviation = (given and torch.tensor(given[k], dtype=torch.float64) for k in ("mean", "deviation"))
            scaling = given and Scaling(mean, deviation)
            return cls(kept["num_features"], kept["classes"], kept["categories"], scaling, kept.get("preparation"))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise DataError(
                f"data.known: {path} does not say how features and classes were read: it is missing, damaged or of an "
                "older version; train again with `train.py fit --overwrite`"
            ) from None


def scaling_of(name: str, x: Tensor, chosen: Tensor, known: Known | None) -> Scaling:
    """Returns the scaling of measurements [N, F] over the nodes `chosen` [N], or that of a trained network.

    Raises:
        DataError: if it was trained with another kind of features.
    """
    if known is None:
        return Scaling.of(x, chosen)
    if known.scaling is None:
        raise DataError(
            f"{name}: `x` holds measurements, the network was trained with one category of each node: "
            "give [N, 1] whole numbers"
        )
    return known.scaling


def in_degrees(edge_index: Tensor, num_nodes: Tensor, num_edges: Tensor) -> Tensor:
    """Returns the in-degree of every node [N], float32.

    Shapes:
        edge_index [2, E], nodes count from 0 in each graph; num_nodes, num_edges [G].
    """
    targets = edge_index[1] + torch.repeat_interleave(offsets(num_nodes), num_edges)
    return torch.bincount(targets, minlength=int(num_nodes.sum())).float()


def standardised_degree(degree: Tensor, num_nodes: Tensor, graphs: Tensor) -> tuple[Tensor, Scaling]:
    """Returns degrees [N] as [N, 1] with mean 0 and deviation 1 over the nodes of `graphs`, and these two.

    Shapes:
        num_nodes [G]; graphs [n] numbers.
    """
    chosen = torch.isin(torch.repeat_interleave(num_nodes), graphs)
    deviation, mean = torch.std_mean(degree[chosen])
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return ((degree - mean) / deviation)[:, None], Scaling(mean.double()[None], deviation.double()[None], single=True)


def sparse_tensor(matrix: sp.csr_matrix) -> Tensor:
    """Converts a SciPy matrix to a sparse CSR float32 tensor."""
    rowptr, cols, values = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")  # nothing that a user can change
        return torch.sparse_csr_tensor(rowptr, cols, values.float(), matrix.shape, check_invariants=True)
