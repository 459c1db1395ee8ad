"""Replaces a file whole, so that whoever reads it meanwhile never sees half of it."""

from __future__ import annotations

import os


def replace(path: str, text: str) -> None:
    """Put a file with `text` in the place of `path`.

    Raises:
        OSError: it cannot be written; what was at `path` is there yet.
    """
    part = path + ".part"
    # A folder that somebody handed over may hold a link of this name, to be written through.
    _remove(part)
    try:
        with open(part, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(part, path)
    except OSError:
        _remove(part)
        raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
