"""Loads a running `serve.py` with molecules from several clients at once, then with requests that are wrong.

    python examples/load_test.py --port 8000 --seconds 10 --clients 1 8 32 --wrong 10000

Prints the median and the 99th percentile of what clients waited, answers a second and the peak of the service's memory
for each number of clients; then how wrong requests were answered. Ends with 1 if one was not answered by 4xx and one
sentence, or an answer differs from the first one to the same request. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from typing import Any


def molecule(generator: random.Random, width: int) -> dict[str, list[list[float]]]:
    """Returns a tree of 10 to 36 atoms: ids of atoms if features are one wide, else numbers."""
    nodes = generator.randint(10, 36)
    bonds = [(atom, generator.randrange(max(atom - 3, 0), atom)) for atom in range(1, nodes)]
    ends = [*bonds, *((b, a) for a, b in bonds)]
    x: list[list[float]]
    if width == 1:
        x = [[generator.randrange(10)] for _ in range(nodes)]
    else:
        x = [[round(generator.gauss(0, 1), 3) for _ in range(width)] for _ in range(nodes)]
    return {"x": x, "edge_index": [[a for a, _ in ends], [b for _, b in ends]]}


def wrong_requests(good: dict[str, Any]) -> list[bytes]:
    """Returns requests that are wrong, each in another way."""
    x, (sources, targets) = good["x"], good["edge_index"]
    fields = [
        {},
        [],
        {"x": x},
        {**good, "y": 1},
        {**good, "x": []},
        {**good, "x": "text"},
        {**good, "x": [[None]]},
        {**good, "x": [*x, [1, 2, 3, 4, 5]]},
        {**good, "x": [[float("nan")] * len(x[0])] * len(x)},
        {**good, "x": [[1e300] * len(x[0])] * len(x)},
        {**good, "x": [[*row, 1] for row in x]},
        {**good, "edge_index": [sources]},
        {**good, "edge_index": [sources, targets[1:]]},
        {**good, "edge_index": [[0.5], [1]]},
        {**good, "edge_index": [[0], [len(x)]]},
        {**good, "edge_index": [[-1], [0]]},
        {**good, "edge_index": [[2**70], [0]]},
        {**good, "edge_index": {"a": 1}},
        {**good, "edge_weight": [1.0]},
    ]
    twice = json.dumps(good).replace("{", '{"x": [[0]], ', 1).encode()
    return [b"", b"{", b"\xff\xfe", b"[" * 100_000, twice, *(json.dumps(one).encode() for one in fields)]


class Client:
    """A connection that stays open."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)

    def get(self, path: str) -> bytes:
        """Returns what the service says under a path."""
        self._connection.request("GET", path)
        return self._connection.getresponse().read()

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Returns the status and the content of the answer to a request."""
        self._connection.request("POST", "/predict", body)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def peak_memory(self) -> float:
        """Returns the most memory that the service has taken, in MB."""
        found = re.search(rb"^process_peak_memory_bytes (\d+)", self.get("/metrics"), re.M)
        assert found, "the service tells no memory"
        return int(found[1]) / 1e6


def measure(
    options: argparse.Namespace, bodies: list[bytes], clients: int
) -> tuple[list[float], list[tuple[int, Any]]]:
    """Returns the seconds that answers took, and the answers with the numbers of their requests."""
    ends = time.perf_counter() + options.seconds

    def one_client(seed: int) -> tuple[list[float], list[tuple[int, Any]]]:
        client, generator, seconds, answers = Client(options.host, options.port), random.Random(seed), [], []
        while time.perf_counter() < ends:
            number = generator.randrange(len(bodies))
            started = time.perf_counter()
            answers.append((number, client.post(bodies[number])))
            seconds.append(time.perf_counter() - started)
        return seconds, answers

    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(one_client, range(clients)))
    return [s for seconds, _ in results for s in seconds], [a for _, answers in results for a in answers]


def is_sentence(status: int, content: bytes) -> bool:
    """Returns whether a wrong request was answered by 4xx and one line that says what is wrong."""
    error = json.loads(content).get("error", "")
    return 400 <= status < 500 and len(error) > 5 and "\n" not in error and "Traceback" not in error


def main() -> int:
    """Runs the test that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    parser.add_argument("--wrong", type=int, default=1_000, help="number of wrong requests")
    options = parser.parse_args()
    generator, sound = random.Random(0), True

    def connect() -> Client:
        return Client(options.host, options.port)

    client = connect()
    try:
        width = json.loads(client.get("/health"))["in_features"]
    except OSError as problem:
        print(
            f"no service answers at {options.host}:{options.port}: {problem}; start examples/serve.py", file=sys.stderr
        )
        return 2
    graphs = [molecule(generator, width) for _ in range(50)]
    bodies = [json.dumps(graph).encode() for graph in graphs]
    first = [client.post(body) for body in bodies]
    print("clients   p50 ms   p99 ms   answers/s   peak MB")
    for clients in options.clients:
        seconds, answers = measure(options, bodies, clients)
        same = all(answer == first[number] and answer[0] == 200 for number, answer in answers)
        sound &= same
        cuts = quantiles(seconds, n=100)
        rate, peak = len(seconds) / options.seconds, connect().peak_memory()  # services close connections that rest
        note = "" if same else "   ANSWERS DIFFER"
        print(f"{clients:7d} {1e3 * cuts[49]:8.2f} {1e3 * cuts[98]:8.2f} {rate:11.0f} {peak:9.1f}{note}")
    client, wrong, statuses = connect(), wrong_requests(graphs[0]), Counter[int]()
    for number in range(options.wrong):
        status, content = client.post(wrong[number % len(wrong)])
        statuses[status] += 1
        sound &= is_sentence(status, content)
    told = ", ".join(f"{count} by {status}" for status, count in sorted(statuses.items()))
    print(f"{options.wrong} wrong requests: {told or 'none'}; peak {client.peak_memory():.1f} MB")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
