"""Feeds malformed programs and inputs to the engine: a clear ValueError or a correct result must come of each.

    python -m tests.fuzz_programs --count 10000 --seed 0

Cases are of three kinds, in turn: a program whose files have flipped, missing or surplus bytes; a program whose
manifest was changed and has hashes that fit; features or edges that are wrong in some way. A result is correct if it is
that of the reference backend. Wrong results and other exceptions are printed; a crash of the process ends the run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from app.engine import load_program
from app.engine.program.io import manifest_digest, save_program
from tests.app.engine.programs import PROGRAMS, WEIGHTED_PROGRAMS, Draft

NODES, WIDTH = 12, 20
STRANGE = [None, True, -1, 0, 1, 7, 2**31, 2**63, 1e-30, 1e30, 0.5, "", "x", "logits", [], [1], {}, {"a": 1}]


def flip_bytes(rng, folder):
    """Changes, cuts off or appends some bytes of one file."""
    path = sorted(folder.iterdir())[rng.integers(2)]
    data = bytearray(path.read_bytes())
    what = rng.integers(3)
    if what == 0:
        for position in rng.integers(0, len(data), rng.integers(1, 5)):
            data[position] = rng.integers(256)
    elif what == 1:
        del data[rng.integers(len(data)) :]
    else:
        data += rng.bytes(int(rng.integers(1, 50)))
    path.write_bytes(bytes(data))


def rewrite_manifest(rng, folder):
    """Replaces or removes one random entry of the manifest and makes its hash fit again."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    node, key = document, None
    while True:
        children = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not children:
            break
        parent, key = node, children[rng.integers(len(children))]
        node = parent[key]
        if not isinstance(node, (dict, list)) or rng.random() < 0.15:
            break
    if key is not None:
        if rng.random() < 0.15:
            del parent[key]
        elif isinstance(node, (int, float)) and rng.random() < 0.6:
            parent[key] = type(node)(node * rng.choice([-1, 0, 0.5, 2, 1e4])) if rng.random() < 0.5 else node + 1
        else:
            parent[key] = STRANGE[rng.integers(len(STRANGE))]
    document["sha256"] = manifest_digest(document)
    path.write_text(json.dumps(document))


def spoil_inputs(rng, x, edges, weights):
    """Returns features, edges and their weights, one of which may be wrong."""
    what = rng.integers(12)
    entry = rng.integers(len(x)), rng.integers(x.shape[1])
    if what == 0:
        x[entry] = rng.choice([np.nan, np.inf, -np.inf, 3e38])
    elif what == 1:
        x = x[:, : rng.integers(WIDTH + 1)]
    elif what == 2:
        x = x[: rng.integers(NODES + 1)]
    elif what == 3:
        x = x.astype(rng.choice(["float64", "int8", "complex64", "U2", "bool", "float16"]))
    elif what == 4:
        edges[rng.integers(2), rng.integers(edges.shape[1])] = rng.choice([-1, NODES, 2**31, -(2**40)])
    elif what == 5:
        edges = edges.astype(rng.choice(["float32", "uint8", "int32", "bool"]))
    elif what == 6:
        edges = edges[:, :0]
    elif what == 7:
        edges = edges[: rng.integers(2)]
    elif what == 8:
        x = x * np.float32(10.0 ** rng.integers(-40, 38))
    elif what == 9:
        weights = None if weights is not None else np.ones(edges.shape[1], np.float32)
    elif what == 10 and weights is not None:
        weights[rng.integers(weights.size)] = rng.choice([np.nan, np.inf, 0.0, 3e38, -3e38, 1e-45])
    elif what == 11 and weights is not None:
        weights = weights[: rng.integers(weights.size + 1)].astype(rng.choice(["float64", "int8", "complex64", "U2"]))
    return x, edges, weights


def outcome(folder, x, edges, weights, backend):
    """Returns the logits, or the message of the ValueError."""
    try:
        return load_program(folder, backend).run(x, edges, edge_weight=weights)
    except ValueError as error:
        return str(error)


def attempt(rng, number):
    """Tries one case; returns "refused", "correct" or what went wrong."""
    programs = {**PROGRAMS, **WEIGHTED_PROGRAMS}
    kind = list(programs)[rng.integers(len(programs))]
    program = programs[kind](Draft(int(rng.integers(20)), WIDTH, int(rng.choice([4, 8]))), 5, 3)
    x = rng.normal(size=(NODES, WIDTH)).astype(np.float32)
    edges = rng.integers(0, NODES, (2, 40))
    weights = rng.normal(0.3, 0.5, 40).astype(np.float32) if kind in WEIGHTED_PROGRAMS else None
    with tempfile.TemporaryDirectory() as name:
        folder = save_program(program, Path(name) / "program")
        if number % 3 == 2:
            x, edges, weights = spoil_inputs(rng, x, edges, weights)
        else:
            (flip_bytes, rewrite_manifest)[number % 3](rng, folder)
        try:
            got, expected = (outcome(folder, x, edges, weights, backend) for backend in ("compiled", "reference"))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if isinstance(got, str) or isinstance(expected, str):
        alike = isinstance(got, str) and isinstance(expected, str) and got == expected != ""
        return "refused" if alike else f"{got!r} but {expected!r}"
    return "correct" if np.array_equal(got, expected) else f"{kind}: logits differ"


def main():
    """Prints how many cases were refused, correct and wrong; exits with code 1 if any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends = Counter()
    for number in range(options.count):
        end = attempt(np.random.default_rng([options.seed, number]), number)
        ends[end] += 1
        if end not in ("refused", "correct"):
            print(f"case {number}: {end}", flush=True)
    print(f"{options.count} cases: {ends['refused']} refused, {ends['correct']} correct, "
          f"{options.count - ends['refused'] - ends['correct']} wrong")  # fmt: skip
    raise SystemExit(sum(ends.values()) != ends["refused"] + ends["correct"])


if __name__ == "__main__":
    main()
