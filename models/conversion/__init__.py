"""Takes in networks that other people wrote with layers of torch and PyG."""

from models.conversion.errors import UnsupportedModel
from models.conversion.prepared import PreparedNetwork, prepare

__all__ = ["PreparedNetwork", "UnsupportedModel", "prepare"]
