"""Entry point of the application; `python train.py --help` lists the commands."""

import os

from app.cli.main import main

# Torch's idle OpenMP threads would otherwise spin for milliseconds on the cores that our own kernels run on.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if __name__ == "__main__":
    raise SystemExit(main())
