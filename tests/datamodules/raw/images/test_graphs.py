from __future__ import annotations

import numpy as np
import pytest
import skimage.segmentation
import skimage.util

from datamodules.raw.images.graphs import Slic, segment_means, segments, similar_nodes
from datamodules.raw.images.published import MnistFiles

MNIST = Slic(limit=75, wanted=95, compactness=0.25)


def picture(side: int = 28, channels: int = 0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = rng.random((side // 4, side // 4, max(channels, 1))).repeat(4, 0).repeat(4, 1).astype(np.float32)
    return smooth if channels else smooth[:, :, 0]


@pytest.mark.parametrize("limit", [75, 60, 40])
@pytest.mark.parametrize("channels", [0, 3])
def test_segments_are_numbered_without_gaps_and_within_the_limit(limit, channels):
    labels = segments(picture(channels=channels), Slic(limit, limit + 20, 10.0 if channels else 0.25))
    assert labels.shape == (28, 28)
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert limit / 4 < labels.max() + 1 <= limit


def segments_asked_for(image: np.ndarray, wanted: int) -> np.ndarray:
    """SLIC with at least half and at most three times the pixels of an asked-for segment: by the actual seeds."""
    seeds = {14: 196, 9: 81, 7: 49}[len(range(28)[skimage.util.regular_grid((28, 28), wanted)[0]])]
    factors = {"min_size_factor": 0.5 * seeds / wanted, "max_size_factor": 3.0 * seeds / wanted}
    return skimage.segmentation.slic(image, n_segments=wanted, compactness=0.25, channel_axis=None, **factors)


@pytest.mark.parametrize("seed", range(8))
def test_skipping_requests_changes_nothing(seed):
    image = (picture(seed=seed) + np.random.default_rng(seed).normal(0.0, 0.05, (28, 28))).astype(np.float32)
    for wanted in range(95, 0, -1):
        labels = segments_asked_for(image, wanted)
        if len(np.unique(labels)) <= 75:
            break
    assert np.array_equal(segments(image, MNIST), np.unique(labels, return_inverse=True)[1].reshape(28, 28))


@pytest.mark.data
def test_real_images_have_as_many_nodes_as_published(mnist_root):
    pixels = MnistFiles(mnist_root).read()[0][:1000]
    counts = [segments(image / np.float32(255), MNIST).max() + 1 for image in pixels]
    assert abs(np.mean(counts) / 70.6 - 1.0) < 0.01


def test_means_are_those_of_the_pixels():
    image = picture(8, channels=3)
    labels = np.array([[0] * 4 + [1] * 4] * 4 + [[2] * 8] * 4)
    colour, position = segment_means(image, labels)
    for k in range(3):
        rows, columns = np.nonzero(labels == k)
        np.testing.assert_allclose(colour[k], image[rows, columns].mean(0), rtol=1e-6)
        np.testing.assert_allclose(position[k], [columns.mean() / 8, rows.mean() / 8], rtol=1e-6)
    assert colour.dtype == position.dtype == np.float32


def test_every_node_has_its_eight_most_similar():
    rng = np.random.default_rng(0)
    colour, position = rng.random((20, 1), np.float32), rng.random((20, 2), np.float32)
    edges, weights = similar_nodes(colour, position)
    assert edges.shape == (2, 160)
    full = np.zeros((20, 20))
    for i in range(20):
        for j in range(20):
            for part in (position, colour):
                apart = np.linalg.norm(part.astype(np.float64) - part[i].astype(np.float64), axis=1)
                full[i, j] += (apart[j] / np.sort(apart)[1:9].mean()) ** 2
    full = (np.exp(-full) + np.exp(-full).T) / 2
    np.fill_diagonal(full, -1)
    for i in range(20):
        mine = edges[0] == i
        assert set(edges[1, mine]) == set(np.argsort(-full[i])[:8])
        np.testing.assert_allclose(weights[mine], full[i, edges[1, mine]], rtol=1e-5)


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (2, 2), (8, 56), (9, 72), (10, 80)])
def test_small_graphs_are_complete(nodes, edges):
    rng = np.random.default_rng(0)
    found, weights = similar_nodes(rng.random((nodes, 1), np.float32), rng.random((nodes, 2), np.float32))
    assert found.shape == (2, edges)
    assert len({tuple(edge) for edge in found.T}) == edges
    assert (found[0] != found[1]).all()
    assert ((weights > 0) & (weights <= 1)).all()


def test_nodes_of_one_colour_get_finite_weights():
    _, weights = similar_nodes(np.zeros((12, 1), np.float32), np.random.default_rng(0).random((12, 2), np.float32))
    assert np.isfinite(weights).all()
