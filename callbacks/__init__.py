"""Lightning callbacks for quantization, which configs name; each finds its sites by `models.quantization.control`."""

from callbacks.export_int8 import ExportInt8
from callbacks.mask_schedule import MaskSchedule
from callbacks.model_size import ModelSize
from callbacks.percentile_sampling import PercentileSampling
from callbacks.range_monitor import RangeMonitor
from callbacks.range_sync import RangeSync
from callbacks.range_tracker import RangeTracker

__all__ = [
    "ExportInt8",
    "MaskSchedule",
    "ModelSize",
    "PercentileSampling",
    "RangeMonitor",
    "RangeSync",
    "RangeTracker",
]
