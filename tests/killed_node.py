"""Compares a grid on a cluster of Ray that loses a node in the middle with the same grid left alone on this machine.

    python -m tests.killed_node digits --seeds 0 --schemes 'fp32,dq_int*' --trainer.max_epochs 3

The cluster has two nodes with one processor each, both on this machine. Further options are those of `train.py
reproduce`. Both grids must give the same report, byte by byte; the exit code is 1 if they do not.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.killed_grid import command, report

STORE = 80 * 2**20
"""Bytes of the object store of a node: the least that Ray takes."""


@contextmanager
def cluster_of(processors):
    """Starts a cluster on this machine whose head has that many processors; yields it."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # a short path: the sockets lie in it
    head = {"num_cpus": processors, "object_store_memory": STORE, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster):
    """Adds a node with one processor, and waits for it; to be called in the main thread."""
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    return node


def kill_at_work(cluster, node, root, *, runs, at_work):
    """Kills a node once that many runs have finished an epoch, or the command is not at work any more."""
    while at_work() and len(list(root.glob("**/last.ckpt"))) < runs:
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    options, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, cluster_of(1) as cluster:
        shared, quiet = Path(folder) / "shared", Path(folder) / "quiet"
        node, there = add_node(cluster), [*words, "--ray", cluster.address]
        process = subprocess.Popen(
            command("reproduce", options.name, shared, there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        kill_at_work(cluster, node, shared, runs=2, at_work=lambda: process.poll() is None)
        told = process.communicate()[1]
        alone = subprocess.run(command("reproduce", options.name, quiet, words), stdout=subprocess.DEVNULL)
        same = report(options.name, shared) == report(options.name, quiet)
    print(told, f"exit codes {process.returncode} and {alone.returncode}", sep="")
    print("the same report, byte by byte" if same else "the reports DIFFER")
    return int(bool(process.returncode or alone.returncode or "was lost" not in told or not same))


if __name__ == "__main__":
    sys.exit(main())
