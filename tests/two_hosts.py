"""Trains one run on two hosts by `torchrun`, kills a process of it, lets it go on, and compares with one host.

    python -m tests.two_hosts --cell synthetic/gcn/dq_int8 --data.parts 9 --data.parts_per_step 2

Hosts are two network namespaces, where the system permits them (as root), else two torchruns on loopback. Further
options are those of `train.py fit`. All three runs must end with the same weights and ranges, bit for bit, and after
the kill both hosts must end within two minutes, in one sentence; the exit code is 1 if not.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120
"""Seconds in which both hosts must have ended after a process was killed."""
ADDRESSES = "10.77.0.1", "10.77.0.2"
SETTINGS = ("--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false")

Host = tuple[list[str], dict[str, str]]
"""The words in front of a command, and what is added to its environment."""


def ip(words: str) -> bool:
    """Runs an `ip` command; returns whether it was possible."""
    try:
        return subprocess.run(["ip", *words.split()], capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def hosts() -> Iterator[list[Host]]:
    """Yields two hosts."""
    names = [f"dq{os.getpid()}{side}" for side in "ab"]
    try:
        if not all(ip(f"netns add {name}") for name in names):
            print("hosts: loopback (no network namespaces)")
            yield [([], {}), ([], {})]
            return
        ip(f"link add {names[0]} netns {names[0]} type veth peer name {names[1]} netns {names[1]}")
        for name, address in zip(names, ADDRESSES, strict=True):
            ip(f"-n {name} addr add {address}/24 dev {name}")
            ip(f"-n {name} link set {name} up")
            ip(f"-n {name} link set lo up")
        print("hosts: network namespaces")
        yield [(["ip", "netns", "exec", name], {"GLOO_SOCKET_IFNAME": name}) for name in names]
    finally:
        for name in names:
            ip(f"netns del {name}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(machines: list[Host], root: Path, words: list[str]) -> list[subprocess.Popen[str]]:
    """Starts the run on both hosts, each in a process group of its own."""
    address, port = ADDRESSES[0] if machines[0][0] else "127.0.0.1", free_port()
    fit = [str(ROOT / "train.py"), "fit", "--runs-root", str(root), *SETTINGS, *words]
    fit += ["--trainer.devices", "1", "--trainer.num_nodes", "2"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    torchrun += ["--master-addr", address, "--master-port", str(port)]
    return [
        subprocess.Popen(
            [*front, *torchrun, "--node-rank", str(rank), *fit],
            env={**os.environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=ROOT,
        )
        for rank, (front, more) in enumerate(machines)
    ]


def weights(root: Path) -> dict[str, torch.Tensor]:
    """What the last epoch of the run below `root` holds."""
    (path,) = root.rglob("last.ckpt")
    held: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return held


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether both hold the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[k].nan_to_num(), other[k].nan_to_num()) for k in one)


def kill_a_worker(running: list[subprocess.Popen[str]], root: Path) -> None:
    """Kills the training process of the second host once an epoch is finished."""
    while not list(root.rglob("last.ckpt")):
        if running[1].poll() is not None:
            raise RuntimeError(running[1].communicate()[0])
        time.sleep(0.02)
    pid = running[1].pid
    child, *_ = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)


def main() -> int:
    """Runs all three and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6, help="of each run (default: 6)")
    options, words = parser.parse_known_args()
    words += ["--trainer.max_epochs", str(options.epochs)]
    with tempfile.TemporaryDirectory() as folder, hosts() as machines:
        one, two, killed = (Path(folder) / name for name in ("one", "two", "killed"))
        fit = [sys.executable, str(ROOT / "train.py"), "fit", "--runs-root", str(one), "--trainer.devices", "2"]
        subprocess.run([*fit, *SETTINGS, *words], check=True, cwd=ROOT)
        for host in start(machines, two, words):
            told = host.communicate()[0]
            assert host.returncode == 0, told
        running = start(machines, killed, words)
        kill_a_worker(running, killed)
        begun = time.monotonic()
        told = "".join(host.communicate(timeout=PATIENCE)[0] for host in running)
        seconds = time.monotonic() - begun
        sentences = [line for line in told.splitlines() if "ended or is silent" in line]
        print(f"both hosts ended {seconds:.0f} s after the kill; said: {sentences}")
        in_the_middle = not list(killed.rglob("result.json"))
        for host in start(machines, killed, words):
            told = host.communicate()[0]
            assert host.returncode == 0, told
        checks = {
            "two hosts end with the bits of one": same(weights(one), weights(two)),
            "one sentence says that a process is gone": len(sentences) == 1,
            "the kill came before the end": in_the_middle,
            "the run that was killed ends with the same bits": same(weights(one), weights(killed)),
        }
    for what, holds in checks.items():
        print(f"{'yes' if holds else 'NO '} {what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
