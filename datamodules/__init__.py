"""Datamodules: every data set behind one LightningDataModule interface."""

from datamodules.base import DataError, FullBatchDataModule, GraphDataModule
from datamodules.batched import BatchedDataModule
from datamodules.citation import CitationDataModule
from datamodules.digits import DigitsDataModule
from datamodules.pyg import PyGDataModule
from datamodules.superpixels import SuperpixelDataModule
from datamodules.synthetic import SyntheticDataModule
from datamodules.tudataset import RedditBinaryDataModule, TUDataModule
from datamodules.zinc import ZincDataModule

DATAMODULES = (
    CitationDataModule,
    DigitsDataModule,
    PyGDataModule,
    RedditBinaryDataModule,
    SuperpixelDataModule,
    SyntheticDataModule,
    TUDataModule,
    ZincDataModule,
)
"""Those a config may name."""

__all__ = [
    "DATAMODULES",
    "BatchedDataModule",
    "CitationDataModule",
    "DataError",
    "DigitsDataModule",
    "FullBatchDataModule",
    "GraphDataModule",
    "PyGDataModule",
    "RedditBinaryDataModule",
    "SuperpixelDataModule",
    "SyntheticDataModule",
    "TUDataModule",
    "ZincDataModule",
]
