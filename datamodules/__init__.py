"""Datamodules: every data set behind one LightningDataModule interface."""

from datamodules.base import DataError, FullBatchDataModule, GraphDataModule
from datamodules.citation import CitationDataModule
from datamodules.synthetic import SyntheticDataModule

__all__ = [
    "CitationDataModule",
    "DataError",
    "FullBatchDataModule",
    "GraphDataModule",
    "SyntheticDataModule",
]
