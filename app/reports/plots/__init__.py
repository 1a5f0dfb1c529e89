"""Pictures of results and measurements. Matplotlib is imported in this package and nowhere else.

For `report`, where a picture is wanted, and for `benchmark latency --plot`.
"""

from importlib.util import find_spec

from app.errors import UserError

if find_spec("matplotlib") is None:
    raise UserError("plots and HTML pages need Matplotlib: python -m pip install -e '.[plots]'")
