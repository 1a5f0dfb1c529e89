"""Compares a grid that two processes share while they are killed at random with the same grid left alone.

    python -m tests.killed_grid table2 --kills 5 --datasets cora --seeds 0-1 --schemes 'fp32,dq_int[48]' --data.root DIR

Further options are those of `train.py reproduce`. Both grids must give the same report, byte by byte; the exit code is
1 if they do not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def command(word, name, root, more=()):
    return [sys.executable, str(ROOT / "train.py"), word, name, "--runs-root", str(root), *more]


def start(name, root, words):
    """Starts a process in a process group of its own, to which its workers belong as well."""
    return subprocess.Popen(command("reproduce", name, root, words), stdout=subprocess.DEVNULL, start_new_session=True)


def kill_and_replace(workers, start_again, rng):
    """Kills a random one of the running workers and starts another; returns False if none is running."""
    running = [i for i, worker in enumerate(workers) if worker.poll() is None]
    if not running:
        return False
    victim = rng.choice(running)
    os.killpg(workers[victim].pid, signal.SIGKILL)
    workers[victim].wait()
    workers[victim] = start_again()
    return True


def report(name, root):
    return subprocess.run(
        command("report", name, root, ["--format", "markdown"]), check=True, capture_output=True
    ).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--between", type=float, nargs=2, default=(12.0, 30.0), help="seconds between two kills")
    parser.add_argument("--random", type=int, default=0, help="seed of when and whom to kill")
    options, words = parser.parse_known_args()
    rng = random.Random(options.random)
    with tempfile.TemporaryDirectory() as folder:
        shared, quiet = Path(folder) / "shared", Path(folder) / "quiet"
        workers = [start(options.name, shared, words) for _ in range(2)]
        kills = 0
        while kills < options.kills:
            time.sleep(rng.uniform(*options.between))
            if not kill_and_replace(workers, lambda: start(options.name, shared, words), rng):
                print(f"the grid ended after {kills} kills: give a larger one, or less time between them")
                return 1
            kills += 1
        codes = [worker.wait() for worker in workers]
        print(f"{kills} kills, exit codes {codes}")
        codes.append(start(options.name, quiet, words).wait())
        same = report(options.name, shared) == report(options.name, quiet)
    print("the same report, byte by byte" if same else "the reports DIFFER")
    return int(any(codes) or not same)


if __name__ == "__main__":
    raise SystemExit(main())
