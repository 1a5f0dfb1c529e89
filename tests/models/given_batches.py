"""A datamodule without data: what `compare` reads one for."""

from __future__ import annotations


class GivenBatches:
    """A datamodule of given batches."""

    def __init__(self, *batches):
        self.batches = batches

    def setup(self, stage):
        """Nothing to do."""

    def predict_dataloader(self):
        """Returns the batches."""
        return self.batches
