"""Compiles kernels of a GPU without one, so that an instruction that is not exact is seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

COMPILE = """
import json, sys
from importlib import import_module
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

made = {}
for name, (types, constants) in json.loads(sys.argv[2]).items():
    kernel = getattr(import_module(sys.argv[1]), name.partition(" ")[0])
    left = iter(types.split())
    given = {word: "constexpr" if word in constants else next(left) for word in kernel.arg_names}
    values = {
        (kernel.arg_names.index(word),): getattr(tl, value[3:]) if str(value).startswith("tl.") else value
        for word, value in constants.items()
    }
    source = ASTSource(kernel, given, values)
    made[name] = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=json.loads(sys.argv[3])).asm["ptx"]
print(json.dumps(made))
"""


def instructions_of(module, kernels, options, folder):
    """The PTX of kernels of a module, by name.

    Args:
        kernels: by name (behind a space anything may follow): the types of the arguments that are no constants, in
            order, and the constants; "tl.int32" and the like are dtypes.
        options: of launches.
        folder: for Triton's cache.
    """
    pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", COMPILE, module, json.dumps(kernels), json.dumps(options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loops_of(text):
    """The instructions of every loop of a PTX: from a label to the last branch back to it."""
    found = {}
    for branch in re.finditer(r"\bbra(?:\.uni)?\s+(\$\w+);", text):
        label = text.find(f"{branch[1]}:")
        if 0 <= label < branch.start():
            found[branch[1]] = text[label : branch.end()]
    return list(found.values())
