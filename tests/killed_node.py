"""Lets a cluster of Ray lose a node in the middle of a grid, or of a study.

    python -m tests.killed_node digits --seeds 0 --schemes 'fp32,dq_int*' --trainer.max_epochs 3
    python -m tests.killed_node tune --cell digits/gcn_factored/dq_int8 --trials 6 --trainer.max_epochs 2

The cluster has two nodes with one processor each, both on this machine. Further options are those of `train.py
reproduce`, or `tune`. The grid must give the same report, byte by byte, as the same grid left alone on this machine.
The study must have exactly as many tried trials as it was asked for, and none that still runs. The exit code is 1 if
not.
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

from tests.killed_grid import ROOT, command, report

STORE = 80 * 2**20
"""Bytes of the object store of a node: the least that Ray takes."""


@contextmanager
def cluster_of(processors):
    """Starts a cluster on this machine whose head has that many processors; yields it."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # a short path: the sockets lie in it
    head = {"num_cpus": processors, "object_store_memory": STORE, "include_dashboard": False, "temp_dir": folder}
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # Cluster notes its address there, whatever `temp_dir` is
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


def lose_a_node(cluster, words, *, at_work):
    """Runs a command on the cluster, and kills a node once `at_work()` holds; returns exit code and standard error."""
    node = add_node(cluster)
    process = subprocess.Popen(
        [*words, "--ray", cluster.address], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not at_work():
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)
    told = process.communicate()[1]
    return process.returncode, told


def grid(cluster, folder, name, words):
    """Compares a grid that loses a node with the same grid left alone; returns what must hold, in words."""
    shared, quiet = folder / "shared", folder / "quiet"
    code, told = lose_a_node(
        cluster, command("reproduce", name, shared, words), at_work=lambda: len(list(shared.glob("**/last.ckpt"))) >= 2
    )
    alone = subprocess.run(command("reproduce", name, quiet, words), stdout=subprocess.DEVNULL)
    print(told, end="")
    return {
        "both grids end well": code == alone.returncode == 0,
        "a lost run was told": "was lost" in told,
        "the same report, byte by byte": report(name, shared) == report(name, quiet),
    }


def study(cluster, folder, words):
    """Lets a study lose a node; returns what must hold, in words."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    from app.grids.trials import is_tried

    journal = folder / "study.journal"
    tune = [sys.executable, str(ROOT / "train.py"), "tune", *words, "--storage", str(journal)]
    tune += ["--output", str(folder / "best.yaml")]
    code, told = lose_a_node(
        cluster, tune, at_work=lambda: len(list(folder.glob("study.journal.workers/*/*/**/last.ckpt"))) >= 2
    )
    print(told, end="")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    (name,) = optuna.study.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    states = [trial.state.name for trial in trials]
    print("trials:", ", ".join(states))
    wanted = int(words[words.index("--trials") + 1])
    return {
        "the study ends well": code == 0 and (folder / "best.yaml").exists(),
        "a lost process was told, and nothing else": "was lost" in told and len(told.splitlines()) == 1,
        "the trial of the lost process failed": "FAIL" in states,
        "as many trials as asked for": sum(map(is_tried, trials)) == wanted,
        "no trial still runs": "RUNNING" not in states,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a table, or `tune`")
    options, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, cluster_of(1) as cluster:
        if options.name == "tune":
            checks = study(cluster, Path(folder), words)
        else:
            checks = grid(cluster, Path(folder), options.name, words)
    for what, holds in checks.items():
        print(f"{'yes' if holds else 'NO '} {what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
