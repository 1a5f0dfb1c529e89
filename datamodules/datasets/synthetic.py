"""The default data set: a citation network drawn from a seed, without any file or network."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from datamodules.features import sparse_tensor
from datamodules.one_graph.base import FullBatchDataModule
from datamodules.transforms import binary_features

Integers = NDArray[np.int64]

# Popularity of the r-th most popular node: r ** -HUB_EXPONENT. With 2,700 nodes the highest in-degree is
# about 50 times the mean (Cora: 43).
HUB_EXPONENT = 0.72
WORDS_PER_NODE = (10, 31)  # drawn per node, repeats dropped: 18 words as in Cora
IN_CACHE = 2**16  # so many intervals can be looked up in any order
TOPIC_SHARE = 0.1  # of the vocabulary is typical of a class
WORD_EXPONENT = 0.8  # how unequally often words occur, in a topic as in the whole vocabulary


class SyntheticDataModule(FullBatchDataModule):
    """A degree-corrected stochastic block model with a bag of words per node, in the shape of Cora.

    Karrer & Newman 2011, "Stochastic blockmodels and community structure in networks" (arXiv 1008.3926): the
    blocks (here: classes) of an edge's ends are drawn first, then each end within its block, in proportion to the
    node's popularity. Here every node is an end at least once, and edges run in both directions. The split is as in
    Cora: 20 nodes per class to train on, then `num_val` and `num_test`. A million nodes are drawn in seconds.

    A seed gives the same graph on every machine: weights are integers, so rounding errors cannot change a draw.

    Args:
        seed: of the graph; that of the run makes no difference.
        num_nodes, num_features, num_classes: sizes; features are words.
        mean_degree: edges drawn per node, in both directions; repeats are dropped, so slightly fewer remain.
        homophily: probability that an edge is drawn within a class; the other edges end anywhere.
        topicality: probability that a word is drawn from the topic of the node's class, not from all words.
        train_per_class, num_val, num_test: numbers of nodes.
        features: "row_normalized" or "raw" (0/1), see `FullBatchDataModule`.
        inductive, parts, parts_per_step, neighbours, nodes_per_step: see `FullBatchDataModule`.

    Raises:
        ValueError: for values outside their range, or fewer nodes than the split needs.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        num_nodes: int = 2700,
        num_features: int = 1433,
        num_classes: int = 7,
        mean_degree: float = 4.0,
        homophily: float = 0.7,
        topicality: float = 0.18,
        train_per_class: int = 20,
        num_val: int = 500,
        num_test: int = 1000,
        features: Literal["row_normalized", "raw"] = "row_normalized",
        **settings: Any,
    ) -> None:
        super().__init__(features, **settings)
        self.name = "synthetic"
        self.seed, self.num_nodes, self.mean_degree = seed, num_nodes, mean_degree
        self.homophily, self.topicality = homophily, topicality
        self.num_features, self.num_classes = num_features, num_classes
        self.train_per_class, self.num_val, self.num_test = train_per_class, num_val, num_test
        self._check()

    def _check(self) -> None:
        needed = self.train_per_class * self.num_classes + self.num_val + self.num_test
        for holds, sentence in (
            (self.seed >= 0, f"seed: expected at least 0, got {self.seed}"),
            (self.num_classes >= 2, f"num_classes: expected at least 2, got {self.num_classes}"),
            (self.num_features >= 100, f"num_features: expected at least 100, got {self.num_features}"),
            (
                min(self.train_per_class, self.num_val, self.num_test) >= 1,
                "train_per_class, num_val, num_test: expected at least 1",
            ),
            (self.num_nodes >= needed, f"num_nodes: the split needs at least {needed}, got {self.num_nodes}"),
            (self.mean_degree >= 2, f"mean_degree: expected at least 2, got {self.mean_degree}"),
            (0 <= self.homophily <= 1, f"homophily: expected 0 to 1, got {self.homophily}"),
            (0 <= self.topicality <= 1, f"topicality: expected 0 to 1, got {self.topicality}"),
        ):
            if not holds:
                raise ValueError(f"{self.name}: {sentence}")

    def load_graph(self) -> Data:
        """Draws the graph."""
        # Four independent streams of random numbers: changing the words leaves the edges as they are.
        streams = np.random.SeedSequence(self.seed).spawn(4)
        labels_rng, edges_rng, words_rng, split_rng = map(np.random.default_rng, streams)
        y = labels_rng.permutation(np.arange(self.num_nodes) % self.num_classes)
        words = draw_words(words_rng, y, num_words=self.num_features, topicality=self.topicality)
        num_edges = round(self.num_nodes * self.mean_degree / 2)
        data = Data(
            x=sparse_tensor(words),
            edge_index=torch.from_numpy(draw_edges(edges_rng, y, num_edges=num_edges, homophily=self.homophily)),
            y=torch.from_numpy(y),
            **draw_split(split_rng, y, self.train_per_class, num_val=self.num_val, num_test=self.num_test),
        )
        return binary_features(data)


def draw_edges(rng: Generator, y: Integers, *, num_edges: int, homophily: float) -> Integers:
    """Draws at most `num_edges` edges; returns both directions [2, E], without self-loops and repeats.

    The first ends are each node once, then nodes drawn by popularity. The second end is drawn by popularity from the
    same class with probability `homophily`, else from all nodes.
    """
    num_nodes = len(y)
    order = np.argsort(y, kind="stable")  # class by class: each is an interval of the cumulated weights
    weight = rng.permutation(power_law(num_nodes, HUB_EXPONENT))
    bounds = np.concatenate([[0], np.cumsum(weight)])
    class_bounds = bounds[np.concatenate([[0], np.cumsum(np.bincount(y))])]
    popular = order[draw_intervals(rng, bounds, np.zeros(num_edges - num_nodes, np.int64), bounds[-1])]
    first = np.concatenate([np.arange(num_nodes), popular])
    within = draw_events(rng, homophily, num_edges)
    low = np.where(within, class_bounds[y[first]], 0)
    high = np.where(within, class_bounds[y[first] + 1], bounds[-1])
    second = order[draw_intervals(rng, bounds, low, high)]
    pairs = np.sort((np.minimum(first, second) * num_nodes + np.maximum(first, second))[first != second])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique takes 80 times as long for five million
    edges = np.stack(np.divmod(pairs, num_nodes))
    return np.concatenate([edges, edges[::-1]], axis=1)


def draw_words(rng: Generator, y: Integers, *, num_words: int, topicality: float) -> sp.csr_matrix:
    """Draws the words of each node, from the topic of its class or from all words; returns counts [N, num_words]."""
    topic_size = round(TOPIC_SHARE * num_words)
    topics = np.stack([rng.permutation(num_words)[:topic_size] for _ in range(y.max() + 1)])
    every_word = rng.permutation(num_words)
    nodes = np.repeat(np.arange(len(y)), rng.integers(*WORDS_PER_NODE, size=len(y)))
    from_topic = topics[y[nodes], draw_ranks(rng, topic_size, len(nodes))]
    from_all = every_word[draw_ranks(rng, num_words, len(nodes))]
    words = np.where(draw_events(rng, topicality, len(nodes)), from_topic, from_all)
    return sp.csr_matrix((np.ones(len(nodes)), (nodes, words)), shape=(len(y), num_words))


def draw_split(rng: Generator, y: Integers, train_per_class: int, *, num_val: int, num_test: int) -> dict[str, Tensor]:
    """Draws training nodes of each class, then validation and test nodes of the others; returns masks [N]."""
    order = rng.permutation(len(y))
    train = np.concatenate([order[y[order] == c][:train_per_class] for c in range(y.max() + 1)])
    rest = order[~np.isin(order, train)]
    split = {"train": train, "val": rest[:num_val], "test": rest[num_val : num_val + num_test]}
    every = np.arange(len(y))
    return {f"{name}_mask": torch.from_numpy(np.isin(every, nodes)) for name, nodes in split.items()}


def power_law(size: int, exponent: float) -> Integers:
    """Returns weights proportional to rank ** -exponent for rank = 1..size, as integers, whose sums are exact."""
    weights: Integers = np.rint(1e6 * np.arange(1, size + 1) ** -exponent).astype(np.int64)
    return weights


def draw_ranks(rng: Generator, size: int, count: int) -> Integers:
    """Draws `count` numbers from 0 to size - 1, by the power law of words."""
    bounds = np.concatenate([[0], np.cumsum(power_law(size, WORD_EXPONENT))])
    return draw_intervals(rng, bounds, np.zeros(count, np.int64), bounds[-1])


def draw_intervals(rng: Generator, bounds: Integers, low: Integers, high: Integers) -> Integers:
    """Draws u uniformly from [low, high); returns the interval i of each, bounds[i] <= u < bounds[i + 1]."""
    drawn = rng.integers(low, high)
    # Of a million intervals, looked up in any other order than their own, each misses the cache.
    order = np.argsort(drawn) if len(bounds) > IN_CACHE else slice(None)
    intervals = np.empty_like(drawn)
    intervals[order] = np.searchsorted(bounds, drawn[order], side="right") - 1
    return intervals


def draw_events(rng: Generator, probability: float, count: int) -> NDArray[np.bool_]:
    """Draws `count` independent events of this probability."""
    return rng.random(count) < probability
