"""Seeds of random draws, derived from the seed of the run.

Lightning keeps the seed of a run (`seed_everything`) in the environment variable PL_GLOBAL_SEED.
"""

from __future__ import annotations

import os


def run_seed() -> int:
    """The seed of this run; 0 if none was set."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def derived_seed(*numbers: int) -> int:
    """A seed from 0 to 2^63 - 1 that depends on the run's seed and `numbers` (epoch, rank, batch) alone.

    The same on every machine: Python does not randomise the hash of a tuple of integers.
    """
    return hash((run_seed(), *numbers)) % 2**63
