"""`python -m degree_quant_engine`, or within the application `python -m app.engine`; see `command`."""

import sys

from .command import main

sys.exit(main())
