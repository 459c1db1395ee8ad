"""Decoders of our types, each made once and by one thread at a time.

msgspec looks at a type when it first decodes into it, and crashes the process when two threads do so
at once (seen with 0.22).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_LOCK = threading.Lock()
_MADE: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of JSON into a `kind`; it may be used by any number of threads."""
    with _LOCK:
        found = _MADE.get(kind)
        if found is None:
            found = _MADE[kind] = msgspec.json.Decoder(kind)
        return found


def convert(value: object, kind: type[T]) -> T:
    """Plain dicts, lists, strings and numbers as a `kind`, strictly; in any number of threads.

    Raises:
        msgspec.ValidationError: `value` is of another shape.
    """
    decoder(kind)  # msgspec keeps what it found out about a type with the type
    return msgspec.convert(value, kind)
