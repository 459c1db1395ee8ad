"""Replaces a file whole: whoever reads it meanwhile sees the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(path: Path, data: bytes, *, mode: int | None = None, sync: bool = False) -> None:
    """Put a file with `data` in the place of `path`; a link of that name is replaced, not written through.

    `mode` are its rights, whatever the umask is; None leaves them to the umask. With `sync` the data lie
    on the disk before the name does.

    Raises:
        OSError: it cannot be written; what was at `path` is there yet.
    """
    # A name that can be told beforehand could be taken by others where they may write to the folder.
    scratch = path.with_name(f".gpudoctor-{os.urandom(8).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(scratch, flags, 0o666 if mode is None else mode & 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data)
            if sync:
                file.flush()
                os.fsync(descriptor)
        scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
