"""Where the processes of a test meet."""

from __future__ import annotations

import os
import time
from pathlib import Path

from app.config.machine import OwnProcesses


def meet(rank: int, processes: int, folder: Path) -> OwnProcesses:
    """Tells torch and Lightning which process this is of those of a test, and where they meet: in this environment.

    The first listens at once and says where in `folder`, where the others look for it.

    Returns:
        What listens, as long as it lives.
    """
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    os.environ.pop("MASTER_PORT", None)  # of a test before
    own, said = OwnProcesses(), folder / "port"
    if rank == 0:
        (folder / "new").write_text(str(own.main_port))
        (folder / "new").rename(said)
    while not said.exists():
        time.sleep(0.01)
    os.environ["MASTER_PORT"] = said.read_text()
    return own
