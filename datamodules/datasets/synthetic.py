"""The embedded default: a citation network drawn from a seed, no file and no network needed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from datamodules.base import FullBatchDataModule, sparse_tensor
from datamodules.transforms import binary_features

Integers = NDArray[np.int64]

NUM_TRAIN_PER_CLASS = 20
# Popularity of the r-th most popular node: r ** -HUB_EXPONENT. With 2,700 nodes the highest in-degree is
# about 50 times the mean (Cora: 43).
HUB_EXPONENT = 0.72
WORDS_PER_NODE = (10, 31)  # drawn per node, repeats dropped: 18 words as in Cora
TOPIC_SHARE = 0.1  # of the vocabulary is typical of a class
WORD_EXPONENT = 0.8  # how unequally often words occur, in a topic as in the whole vocabulary


class SyntheticDataModule(FullBatchDataModule):
    """A degree-corrected stochastic block model with a bag of words per node, in the shape of Cora.

    Karrer & Newman 2011, "Stochastic blockmodels and community structure in networks" (arXiv 1008.3926): an
    edge chooses the blocks of its ends, then each end within its block by the node's popularity; here every
    node is an end at least once. Edges run in both directions. The split is Cora's: 20 nodes per class to
    train on, then `num_val` and `num_test`.

    A seed gives the same graph on every machine: weights are integers, so no rounding decides a draw.

    `mean_degree`: drawn edges per node, both directions; repeats are dropped, so slightly fewer remain.
    `homophily`: chance that an edge stays in its class by choice (others end anywhere).
    `topicality`: chance that a word comes from the topic of the node's class rather than from the language.

    Raises:
        ValueError: for values outside their range, or fewer nodes than the split needs.
    """

    def __init__(
        self,
        seed: int = 0,
        num_nodes: int = 2700,
        num_features: int = 1433,
        num_classes: int = 7,
        mean_degree: float = 4.0,
        homophily: float = 0.7,
        topicality: float = 0.18,
        num_val: int = 500,
        num_test: int = 1000,
        features: Literal["row_normalized", "raw"] = "row_normalized",
    ) -> None:
        super().__init__(features)
        self.name = "synthetic"
        self.seed, self.num_nodes, self.mean_degree = seed, num_nodes, mean_degree
        self.homophily, self.topicality = homophily, topicality
        self.num_features, self.num_classes = num_features, num_classes
        self.num_val, self.num_test = num_val, num_test
        self._check()

    def _check(self) -> None:
        needed = NUM_TRAIN_PER_CLASS * self.num_classes + self.num_val + self.num_test
        for holds, sentence in (
            (self.seed >= 0, f"seed: expected at least 0, got {self.seed}"),
            (self.num_classes >= 2, f"num_classes: expected at least 2, got {self.num_classes}"),
            (self.num_features >= 100, f"num_features: expected at least 100, got {self.num_features}"),
            (min(self.num_val, self.num_test) >= 1, "num_val, num_test: expected at least 1"),
            (self.num_nodes >= needed, f"num_nodes: the split needs at least {needed}, got {self.num_nodes}"),
            (self.mean_degree >= 2, f"mean_degree: expected at least 2, got {self.mean_degree}"),
            (0 <= self.homophily <= 1, f"homophily: expected 0 to 1, got {self.homophily}"),
            (0 <= self.topicality <= 1, f"topicality: expected 0 to 1, got {self.topicality}"),
        ):
            if not holds:
                raise ValueError(f"{self.name}: {sentence}")

    def load_graph(self) -> Data:
        """Draws the graph."""
        # One stream each: changing the words leaves the edges as they are.
        streams = np.random.SeedSequence(self.seed).spawn(4)
        labels_rng, edges_rng, words_rng, split_rng = map(np.random.default_rng, streams)
        y = labels_rng.permutation(np.arange(self.num_nodes) % self.num_classes)
        words = draw_words(words_rng, y, self.num_features, self.num_classes, self.topicality)
        num_edges = round(self.num_nodes * self.mean_degree / 2)
        data = Data(
            x=sparse_tensor(words),
            edge_index=torch.from_numpy(draw_edges(edges_rng, y, num_edges, self.homophily)),
            y=torch.from_numpy(y),
            **draw_split(split_rng, y, self.num_val, self.num_test),
        )
        return binary_features(data)


def draw_edges(rng: Generator, y: Integers, num_edges: int, homophily: float) -> Integers:
    """Both directions [2, E] of at most `num_edges` edges, without self-loops and repeats.

    The first end is every node once, then nodes by popularity; the second is a node by popularity, of the
    same class with chance `homophily`, else of any.
    """
    num_nodes = len(y)
    order = np.argsort(y, kind="stable")  # class by class: each is a stretch of the cumulated weights
    weight = rng.permutation(power_law(num_nodes, HUB_EXPONENT))
    bounds = np.concatenate([[0], np.cumsum(weight)])
    class_bounds = bounds[np.concatenate([[0], np.cumsum(np.bincount(y))])]
    popular = order[pick(rng, bounds, np.zeros(num_edges - num_nodes, np.int64), bounds[-1])]
    first = np.concatenate([np.arange(num_nodes), popular])
    stays = chance(rng, homophily, num_edges)
    low = np.where(stays, class_bounds[y[first]], 0)
    high = np.where(stays, class_bounds[y[first] + 1], bounds[-1])
    second = order[pick(rng, bounds, low, high)]
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)])
    pairs = np.unique(pairs[:, first != second], axis=1)
    return np.concatenate([pairs, pairs[::-1]], axis=1)


def draw_words(rng: Generator, y: Integers, num_words: int, num_classes: int, topicality: float) -> sp.csr_matrix:
    """Word counts [N, num_words]: a word is of the topic of the node's class or of the common language."""
    topic_size = round(TOPIC_SHARE * num_words)
    topics = np.stack([rng.permutation(num_words)[:topic_size] for _ in range(num_classes)])
    language = rng.permutation(num_words)
    nodes = np.repeat(np.arange(len(y)), rng.integers(*WORDS_PER_NODE, size=len(y)))
    from_topic = topics[y[nodes], draw_ranks(rng, topic_size, len(nodes))]
    from_language = language[draw_ranks(rng, num_words, len(nodes))]
    words = np.where(chance(rng, topicality, len(nodes)), from_topic, from_language)
    return sp.csr_matrix((np.ones(len(nodes)), (nodes, words)), shape=(len(y), num_words))


def draw_split(rng: Generator, y: Integers, num_val: int, num_test: int) -> dict[str, Tensor]:
    """Masks [N]: the first 20 nodes of each class in a random order, then validation, then test nodes."""
    order = rng.permutation(len(y))
    train = np.concatenate([order[y[order] == c][:NUM_TRAIN_PER_CLASS] for c in range(y.max() + 1)])
    rest = order[~np.isin(order, train)]
    split = {"train": train, "val": rest[:num_val], "test": rest[num_val : num_val + num_test]}
    every = np.arange(len(y))
    return {f"{name}_mask": torch.from_numpy(np.isin(every, nodes)) for name, nodes in split.items()}


def power_law(size: int, exponent: float) -> Integers:
    """Weights proportional to rank ** -exponent, rank = 1..size, as integers: their sums are exact."""
    return np.rint(1e6 * np.arange(1, size + 1) ** -exponent).astype(np.int64)


def draw_ranks(rng: Generator, size: int, count: int) -> Integers:
    """`count` numbers from 0 to size - 1, by the power law of words."""
    bounds = np.concatenate([[0], np.cumsum(power_law(size, WORD_EXPONENT))])
    return pick(rng, bounds, np.zeros(count, np.int64), bounds[-1])


def pick(rng: Generator, bounds: Integers, low: Integers, high: Integers) -> Integers:
    """Index i with bounds[i] <= u < bounds[i + 1] for each u drawn evenly from [low, high)."""
    return np.searchsorted(bounds, rng.integers(low, high), side="right") - 1


def chance(rng: Generator, probability: float, count: int) -> NDArray[np.bool_]:
    """`count` independent events of this probability."""
    return rng.random(count) < probability
