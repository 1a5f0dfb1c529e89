"""Converts images to graphs: SLIC superpixels as nodes, with edges to the most similar ones.

Achanta et al. 2012, "SLIC Superpixels Compared to State-of-the-art Superpixel Methods"
(https://doi.org/10.1109/TPAMI.2012.120); as graphs: Dwivedi et al. 2020, "Benchmarking Graph Neural Networks"
(arXiv 2003.00982), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

NEIGHBOURS = 8

SIZES = 0.5, 3.0
"""The smallest and the largest segment, in shares of an image's pixels over the segments asked for."""


@dataclass(frozen=True)
class Slic:
    """Parameters of the segmentation of an image.

    Args:
        limit: largest number of segments.
        wanted: number of segments to ask SLIC for at first.
        compactness: weight of position against colour.
    """

    limit: int
    wanted: int
    compactness: float


def segments(image: Floats, slic: Slic) -> Integers:
    """Returns the segment of each pixel, 0, 1, ...; SLIC is asked for fewer until there are at most `slic.limit`.

    As in the scikit-image of the published graphs, a segment holds at least half and at most three times the pixels
    that an asked-for segment would have. Today's version reckons with the seeds instead, which lie on a grid of whole
    steps: 125 and 65 of an MNIST image are the same 81 seeds, so that fewer asked for would change nothing.

    Shapes:
        image [height, width] or [height, width, C], values 0 to 1; result [height, width].
    """
    import skimage.segmentation  # slow to import
    import skimage.util

    regular_grid: Callable[..., tuple[slice, ...]] = skimage.util.regular_grid
    height, width = image.shape[:2]
    tried: set[tuple[int, int, int]] = set()
    for wanted in range(slic.wanted, 0, -1):
        rows, columns = regular_grid((height, width), wanted)
        seeds = len(range(height)[rows]) * len(range(width)[columns])
        smallest, largest = (int(share * height * width / wanted) for share in SIZES)
        if (seeds, smallest, largest) in tried:  # the same seeds and sizes give the same segments
            continue
        tried.add((seeds, smallest, largest))
        labels = skimage.segmentation.slic(
            image,
            n_segments=wanted,
            compactness=slic.compactness,
            min_size_factor=SIZES[0] * seeds / wanted,
            max_size_factor=SIZES[1] * seeds / wanted,
            channel_axis=2 if image.ndim == 3 else None,
        )
        names, numbers = np.unique(labels, return_inverse=True)
        if len(names) <= slic.limit:
            break
    return numbers.reshape(height, width)


def segment_means(image: Floats, labels: Integers) -> tuple[Floats, Floats]:
    """Returns mean colour [n, C] and centroid [n, 2] (x, y; 0 to 1) of every segment."""
    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    channels = np.concatenate(
        [image.reshape(height * width, -1), np.stack([x.ravel() / width, y.ravel() / height], 1)], 1
    )
    sizes = np.bincount(labels.ravel())
    sums = np.stack([np.bincount(labels.ravel(), channel) for channel in channels.T], 1)
    means = (sums / sizes[:, None]).astype(np.float32)
    return means[:, :-2], means[:, -2:]


def similar_nodes(colour: Floats, position: Floats) -> tuple[Integers, Floats]:
    """Returns edges [2, E] from every node to the 8 (if fewer, all) most similar others, and their weights [E].

    w_ij = exp(-|p_i - p_j|^2 / s_i^2 - |c_i - c_j|^2 / t_i^2), made symmetric; s_i and t_i are the mean distances of
    node i to its 8 nearest in position and in colour.
    """
    exponent = np.zeros((len(colour), len(colour)))
    for part in (position, colour):
        distance = cdist(part, part)
        exponent += np.square(distance / typical_distance(distance))
    weight = np.exp(-exponent)
    weight = (weight + weight.T) / 2
    np.fill_diagonal(weight, -1.0)
    degree = min(NEIGHBOURS, len(colour) - 1)
    target = np.argsort(-weight, axis=1, kind="stable")[:, :degree]
    source = np.repeat(np.arange(len(colour)), degree)
    edges = np.stack([source, target.ravel()])
    return edges, weight[edges[0], edges[1]].astype(np.float32)


def typical_distance(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean distance [n, 1] of every node to its 8 nearest others; never zero."""
    nearest = np.sort(distance, axis=1)[:, 1 : NEIGHBOURS + 1]
    mean: NDArray[np.float64] = nearest.sum(1, keepdims=True) / max(nearest.shape[1], 1)
    return mean + 1e-8
