"""The schemes that have a file under `configs/scheme`, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from models.quantization.qconfig import QuantScheme

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "scheme"


def scheme_of(scheme: QuantScheme | str | None) -> QuantScheme:
    """Returns a scheme as it is, the one of a name such as `dq_int8`, or FP32 for None.

    Raises:
        ValueError: for a name that has no file.
    """
    if isinstance(scheme, str):
        return named_scheme(scheme)
    return scheme or QuantScheme()


@cache
def named_scheme(name: str) -> QuantScheme:
    """Reads the file of a scheme.

    Raises:
        ValueError: if there is none.
    """
    names = sorted(file.stem for file in FOLDER.glob("*.yaml"))
    if name not in names:
        raise ValueError(f"scheme: {name!r} is unknown; there are {', '.join(names)}")
    settings = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--scheme", type=QuantScheme)
    given = settings["model"]["init_args"].get("scheme", {})
    scheme: QuantScheme = parser.instantiate(parser.parse_object({"scheme": given})).scheme
    return scheme
