"""Lightning datamodules, one for each data set; the application and configs name them as `datamodules.<class>`."""

from datamodules.base import GraphDataModule
from datamodules.batched import BatchedDataModule
from datamodules.datasets.citation import CitationDataModule
from datamodules.datasets.digits import DigitsDataModule
from datamodules.datasets.own_graph import GraphFileDataModule, PyGNodeDataModule
from datamodules.datasets.own_images import ImageDataModule
from datamodules.datasets.pyg import PyGDataModule
from datamodules.datasets.superpixels import SuperpixelDataModule
from datamodules.datasets.synthetic import SyntheticDataModule
from datamodules.datasets.tudataset import RedditBinaryDataModule, TUDataModule
from datamodules.datasets.zinc import ZincDataModule
from datamodules.errors import DataError, DataWarning
from datamodules.one_graph.base import FullBatchDataModule

DATAMODULES = (
    CitationDataModule,
    DigitsDataModule,
    GraphFileDataModule,
    ImageDataModule,
    PyGDataModule,
    PyGNodeDataModule,
    RedditBinaryDataModule,
    SuperpixelDataModule,
    SyntheticDataModule,
    TUDataModule,
    ZincDataModule,
)
"""The classes that a config may name."""

__all__ = [
    "DATAMODULES",
    "BatchedDataModule",
    "CitationDataModule",
    "DataError",
    "DataWarning",
    "DigitsDataModule",
    "FullBatchDataModule",
    "GraphDataModule",
    "GraphFileDataModule",
    "ImageDataModule",
    "PyGDataModule",
    "PyGNodeDataModule",
    "RedditBinaryDataModule",
    "SuperpixelDataModule",
    "SyntheticDataModule",
    "TUDataModule",
    "ZincDataModule",
]
