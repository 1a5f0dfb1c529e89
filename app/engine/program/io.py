"""Saves programs to disk and reads them: a directory with `manifest.json` and a file of constants; nothing is pickled.

Saving writes the constants to a file named after its content, then replaces the manifest, then deletes files of
constants that no manifest names any more. If it is interrupted, the directory holds the old program or the new one.
Reading checks everything before it is trusted.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..files import lock, unfinished, write_atomically
from .check import ProgramError, validate
from .constants import StorageFormat, sha256
from .model import FORMAT, VERSION, IntegerProgram
from .records import decode_op, decode_value, encode_op, encode_value, read_fields

__all__ = ["ProgramError", "read_program", "save_program"]

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**24
MAX_TENSORS = 2**12
MAX_CONSTANT_BYTES = 2**31
"""Limits on what `read_program` loads, far above any model of this project."""

CONSTANTS_NAME = re.compile(r"constants-[0-9a-f]{12}\.safetensors")

DOCUMENT = {
    "format": str,
    "version": int,
    "sha256": str,
    "constants_file": str,
    "constants_sha256": str,
    "constants": dict,
    "values": list,
    "ops": list,
    "manifest": dict,
}


def save_program(program: IntegerProgram, directory: str | Path) -> Path:
    """Writes a program to `directory`, which is created if absent, and replaces a program that is there.

    Returns:
        The directory.

    Raises:
        ProgramError: if the program is not well formed; nothing has been written then.
    """
    validate(program)
    directory = Path(directory)
    formats = {key: StorageFormat.of(array, program.bits.get(key)) for key, array in program.constants.items()}
    _check_amount(formats)
    stored = {key: format_.pack(program.constants[key]) for key, format_ in formats.items()}
    constants = save(stored)
    digest = sha256(constants)
    name = f"constants-{digest[:12]}.safetensors"
    document = {
        "format": FORMAT,
        "version": VERSION,
        "constants_file": name,
        "constants_sha256": digest,
        "constants": {key: {**format_.record(), "sha256": sha256(stored[key])} for key, format_ in formats.items()},
        "values": [encode_value(value) for value in program.values.values()],
        "ops": [encode_op(op) for op in program.ops],
        "manifest": dict(program.manifest),
    }
    text = _manifest_text(document)
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        write_atomically(directory / name, constants, durable=True)
        write_atomically(directory / MANIFEST, text, durable=True)
        stale = {path for path in directory.glob("constants-*.safetensors") if path.name != name}
        for path in stale.union(unfinished(directory, "constants-*.safetensors"), unfinished(directory, MANIFEST)):
            path.unlink(missing_ok=True)  # another process may have been faster
    return directory


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lets one writer at a time into a folder: each deletes the constants that its manifest does not name."""
    if os.name == "nt":  # it opens no folders
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def read_program(path: str | Path) -> IntegerProgram:
    """Reads and checks the program in the directory `path`; `path` may also be its manifest.

    A program that another process replaces in the meantime is read as it was or as it is then.

    Raises:
        ProgramError: naming the path, and what is missing, unknown, damaged or contradictory.
    """
    manifest = Path(path)
    manifest = manifest / MANIFEST if manifest.is_dir() else manifest
    while True:
        identity = _identity(manifest)
        try:
            return _checked_program(manifest)
        except ProgramError as error:
            if identity == _identity(manifest):
                raise ProgramError(f"{path}: {error}") from error


def program_files(path: str | Path) -> list[Path]:
    """Returns the files of the program in the directory `path`, or of the manifest there."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return [*folder.glob(MANIFEST), *folder.glob("constants-*.safetensors")]


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns numbers that another file in the same place does not have; None if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns


def _checked_program(path: Path) -> IntegerProgram:
    """Returns the program of a manifest."""
    document = _parse(_read(path, MAX_MANIFEST_BYTES, MANIFEST))
    _check_version(document)
    if read_fields("manifest", document, DOCUMENT)["sha256"] != manifest_digest(document):
        raise ProgramError("manifest: its content does not match its sha256")
    constants = _read_constants(path.parent, document)
    values = [decode_value(f"value {number}", entry) for number, entry in enumerate(document["values"])]
    if len({value.name for value in values}) != len(values):
        raise ProgramError("values: two of them have one name")
    program = IntegerProgram(
        ops=tuple(decode_op(f"op {number}", entry) for number, entry in enumerate(document["ops"])),
        values={value.name: value for value in values},
        constants={name: array for name, (array, _) in constants.items()},
        bits={name: bits for name, (_, bits) in constants.items() if bits is not None},
        manifest=document["manifest"],
    )
    validate(program)
    return program


def _check_version(document: Any) -> None:
    """Checks format and version; before anything else, since another version may have other fields."""
    origin = (document.get("format"), document.get("version")) if isinstance(document, dict) else (None, None)
    if origin[0] != FORMAT:
        raise ProgramError(f"format: expected {FORMAT!r}, got {origin[0]!r}")
    if origin[1] != VERSION:
        raise ProgramError(f"version: this release reads {VERSION}, got {origin[1]!r}")


def manifest_digest(document: Mapping[str, Any]) -> str:
    """Returns the hash that a manifest must name: that of everything in it but the hash itself.

    Raises:
        ProgramError: if its records are nested too deeply.
    """
    content = {name: entry for name, entry in document.items() if name != "sha256"}
    try:
        return sha256(json.dumps(content, sort_keys=True).encode())
    except RecursionError as error:
        raise ProgramError("manifest: its records are nested too deeply") from error


def _manifest_text(document: Mapping[str, Any]) -> bytes:
    try:
        as_read = json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProgramError(f"manifest: cannot be written as JSON: {error}") from error
    text = json.dumps({**as_read, "sha256": manifest_digest(as_read)}, indent=1).encode()
    if len(text) > MAX_MANIFEST_BYTES:
        raise ProgramError(f"manifest: {len(text)} bytes are more than the {MAX_MANIFEST_BYTES} allowed")
    return text


def _read(path: Path, limit: int, name: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProgramError(f"{name}: is not a regular file")
            size = status.st_size
            if size > limit:
                raise ProgramError(f"{name}: {size} bytes are more than the {limit} allowed")
            return file.read(size)
    except ProgramError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise ProgramError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Opens a file without waiting for a writer, as a named pipe would make us do."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"manifest: not readable as JSON: {error}") from error


def _check_amount(formats: Mapping[str, StorageFormat]) -> None:
    stored_bytes = sum(format_.stored_bytes for format_ in formats.values())
    if len(formats) > MAX_TENSORS:
        raise ProgramError(f"constants: {len(formats)} tensors are more than the {MAX_TENSORS} allowed")
    if stored_bytes > MAX_CONSTANT_BYTES:
        raise ProgramError(f"constants: {stored_bytes} bytes are more than the {MAX_CONSTANT_BYTES} allowed")


def _read_constants(directory: Path, document: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, int | None]]:
    """Returns every constant with its bits; checks sizes first, then hashes, then values."""
    name = document["constants_file"]
    if not CONSTANTS_NAME.fullmatch(name):
        raise ProgramError(f"constants_file: {name!r} is not constants-<12 hex digits>.safetensors")
    formats = {key: StorageFormat.read(f"constant {key!r}", entry) for key, entry in document["constants"].items()}
    _check_amount(formats)
    expected = sum(format_.stored_bytes for format_ in formats.values())
    data = _read(directory / name, expected + MAX_MANIFEST_BYTES, name)
    if len(data) < expected:
        raise ProgramError(f"{name}: {len(data)} bytes cannot hold the {expected} bytes of the constants")
    if sha256(data) != document["constants_sha256"]:
        raise ProgramError(f"{name}: its content does not match the sha256 in the manifest")
    try:
        stored = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ProgramError(f"{name}: not readable as safetensors: {error}") from error
    for key in sorted(stored.keys() ^ formats.keys()):
        raise ProgramError(f"constant {key!r} is missing in {name if key in formats else 'the manifest'}")
    return {
        key: (
            format_.unpack(f"constant {key!r}", stored[key], document["constants"][key]["sha256"]),
            format_.bits,
        )
        for key, format_ in formats.items()
    }
