"""Handwritten digits as graphs; the images come with scikit-learn, so there is nothing to download."""

from __future__ import annotations

import numpy as np
import torch

from datamodules.batched import BatchedDataModule, Split
from datamodules.raw.images.graphs import segment_means, similar_nodes
from datamodules.splits import split_by_size
from datamodules.storage import GraphStore

SIDE = 8
LARGEST_INTENSITY = 16


class DigitsDataModule(BatchedDataModule):
    """scikit-learn's 1,797 digits of 8 x 8 pixels: a small version of the MNIST superpixels.

    A node is a pixel with its intensity (0 to 1) and position (x, y; 0 to 1). It is joined to the 8 pixels most
    similar in both, as superpixels are. The split is stratified: 1,257 / 180 / 360.

    E. Alpaydin, C. Kaynak 1998, "Optical Recognition of Handwritten Digits" (https://doi.org/10.24432/C50P49).
    """

    name = "digits"
    task = "graph_classification"
    num_features = 3
    features_are = "intensity (0 to 1) and position (x, y; 0 to 1) of each pixel"
    num_classes = 10

    def load(self) -> tuple[GraphStore, Split]:
        """Builds the graphs of the images, and splits them."""
        from sklearn.datasets import load_digits  # slow to import

        digits = load_digits()
        pixels = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        parts = [segment_means(image / np.float32(LARGEST_INTENSITY), pixels) for image in digits.images]
        edges, weights = zip(*(similar_nodes(*part) for part in parts), strict=True)
        y = torch.from_numpy(digits.target).long()
        store = GraphStore.build(
            self.name,
            x=torch.from_numpy(np.concatenate([np.concatenate(part, axis=1) for part in parts])),
            edge_index=torch.from_numpy(np.concatenate(edges, axis=1)),
            y=y,
            num_nodes=torch.full((len(y),), SIDE * SIDE),
            num_edges=torch.tensor([part.shape[1] for part in edges]),
            edge_attr=torch.from_numpy(np.concatenate(weights)),
        )
        return store, split_by_size(self.name, y, val=0.1, test=0.2)
