"""Where the daemon's own socket lies, for the daemon and for whoever looks for one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GPUDOCTOR_SOCKET"
SYSTEM = Path("/run/gpudoctor/gpudoctor.sock")
_NO = ("", "off")


def own_place(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where a daemon of this user listens; None where it has no such place, or shall not."""
    if VARIABLE in environ:
        return _named(environ)
    # systemd names the folder that it made for the service.
    made = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if made.startswith("/"):
        return Path(made) / SYSTEM.name
    return SYSTEM if os.geteuid() == 0 else _of_user(environ)


def places(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a daemon may listen that this user could ask: the user's own first, then the system's."""
    if VARIABLE in environ:
        named = _named(environ)
        return () if named is None else (named,)
    own = _of_user(environ)
    return (SYSTEM,) if own is None else (own, SYSTEM)


def _named(environ: Mapping[str, str]) -> Path | None:
    told = environ[VARIABLE]
    return None if told in _NO else Path(told)


def _of_user(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) / "gpudoctor" / SYSTEM.name if folder.startswith("/") else None
