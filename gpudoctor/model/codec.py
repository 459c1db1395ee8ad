"""JSON in and out: one envelope for every command, strict decoding for what is read back."""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any, TypeVar

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.decoding import decoder

T = TypeVar("T")
# JSON must escape control characters below U+0020 alone, but terminals obey these, too.
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")


def to_builtins(value: Any) -> Any:
    """`value` as plain dicts, lists, strings and numbers, as JSON will show it."""
    return msgspec.to_builtins(value)


def envelope(schema: str, body: dict[str, Any], *, at: float | None = None) -> bytes:
    """One JSON object with `schema` (such as "gpudoctor.ps/1"), `generated_at` and the body, indented."""
    moment = dt.datetime.fromtimestamp(time.time() if at is None else at, dt.UTC)
    head = {"schema": schema, "generated_at": moment.isoformat(timespec="milliseconds")}
    return _CONTROL.sub(_escaped, msgspec.json.format(msgspec.json.encode(head | body), indent=2))


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match[0].decode())


def encode_line(value: Any) -> bytes:
    """`value` as one line of JSON, with the line break."""
    return msgspec.json.encode(value) + b"\n"


def decode(data: bytes | str, kind: type[T], *, what: str) -> T:
    """`data` as a `kind`; `what` names the thing in the error.

    Raises:
        GpuDoctorError: `data` is not JSON, or not of that shape.
    """
    try:
        return decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GpuDoctorError(
            f"{what} cannot be read",
            cause=str(error),
            hint="The file may be cut off, or may not have been written by gpudoctor.",
        ) from error
