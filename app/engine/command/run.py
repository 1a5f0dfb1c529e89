"""`run`: runs a program on the arrays of a file."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from ..executor import Executable
from ..files import write_atomically
from ..graph import Limits
from ..program.io import program_files, read_program

ARRAYS = ("x", "edge_index", "batch", "num_graphs", "edge_weight")
"""What an input file may hold; the first two are needed."""

USUAL_GRAPHS = 1_000_000
"""As many are taken unless --max-graphs says otherwise: logits of a mistyped `num_graphs` would fill the memory."""


def run(options: argparse.Namespace) -> None:
    """Runs `options.program` on the arrays of `options.input`; writes the logits to `options.output`.

    Raises:
        ValueError: if one of them cannot be read, or does not fit the others; or the output cannot be written.
    """
    output = Path(options.output)
    _check_output(output, Path(options.input), Path(options.program))
    arrays = read_arrays(Path(options.input))
    program = read_program(options.program)
    for name in ("batch", "num_graphs"):
        if name in arrays and not program.reads_batch:
            raise ValueError(f"{options.input}: array {name!r} has no effect: the program's results are of nodes, "
                             "whatever graph they are of; leave it out")  # fmt: skip
    most_graphs = options.max_graphs or max(USUAL_GRAPHS, len(np.atleast_1d(arrays["x"])))
    executable = Executable(
        program, threads=options.threads or 1, limits=Limits(max_graphs=most_graphs), device=options.device
    )
    logits = executable.run(**arrays)
    content = BytesIO()
    np.savez(content, logits=logits)
    try:
        write_atomically(output, content.getvalue())
    except OSError as error:
        raise ValueError(f"{options.output}: cannot be written: {error.strerror}") from error
    share = executable.saturated(arrays["x"])
    print(f"{options.output}: logits {list(logits.shape)}; {share:.1%} of the features lie beyond the program's grid")
    if joining := _edges_between_graphs(**arrays):
        print(f"{options.input}: {joining:,} edges join two graphs of the batch: what one sends, the other receives")


def _edges_between_graphs(edge_index: np.ndarray, batch: np.ndarray | None = None, **other: Any) -> int:
    """Returns how many of checked edges lead from one graph into another."""
    return 0 if batch is None else int(np.count_nonzero(batch[edge_index[0]] != batch[edge_index[1]]))


def _check_output(output: Path, source: Path, program: Path) -> None:
    """Raises ValueError if the output would replace what the command reads."""
    for read in (source, *program_files(program)):
        if output.exists() and read.exists() and output.samefile(read):
            raise ValueError(f"--output {output}: is read by this command, give another file")


def read_arrays(path: Path) -> dict[str, Any]:
    """Returns the arrays of an input file, by name.

    Raises:
        ValueError: if the file cannot be read, lacks an array, or holds one of another name.
    """
    try:
        if path.is_file() and not is_zipfile(path):
            raise ValueError("it is no archive of arrays, such as numpy.savez writes")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged file makes NumPy, zipfile and decoders raise nearly anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = "it holds something else than arrays of numbers" if "pickle" in reason else reason
        raise ValueError(f"{path}: cannot be read as an npz file: {reason}") from error
    for name in ARRAYS[:2]:
        if name not in arrays:
            raise ValueError(f"{path}: has no array {name!r}; expected x [N, F], edge_index [2, E] and, if there are"
                             " several graphs, batch [N]")  # fmt: skip
    for name in arrays.keys() - set(ARRAYS):
        raise ValueError(f"{path}: array {name!r} is not read; expected {', '.join(ARRAYS)}")
    if "num_graphs" in arrays:
        arrays["num_graphs"] = _scalar(arrays["num_graphs"])
    return arrays


def _scalar(array: np.ndarray) -> Any:
    """Returns the number of an array without dimensions; other arrays as they are, to be refused."""
    return array[()] if array.ndim == 0 else array
