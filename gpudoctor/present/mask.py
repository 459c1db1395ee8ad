"""Takes the user out of a report that is to be pasted in public: names, home folders, host names."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_ANY_HOME = re.compile(r"(?<![\w.-])/(home|Users)/([^/\s:;,'\"]+)")
# A word of the report that is no secret, even where an account or a machine bears it.
_COMMON = {"root", "user", "ubuntu", "admin", "nvidia", "localhost", "python", "torch", "linux"}
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """What is to be masked."""

    users: tuple[str, ...]
    home: str
    hostname: str

    @classmethod
    def here(cls) -> Identity:
        """The one who runs gpudoctor, on this machine."""
        names = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")}
        try:
            names.add(getpass.getuser())
        except (KeyError, OSError):
            # A uid without an account, as in many containers.
            names.discard("")
        return cls(tuple(sorted(names - {""})), str(Path.home()), socket.gethostname())


def mask(text: str, identity: Identity) -> str:
    """`text` with home folders as `~` or `/home/<user>`, and the user's and the host's name replaced."""
    home = identity.home.rstrip("/")
    if home:
        text = re.sub(rf"(?<![\w./-]){re.escape(home)}(?=[/\s:;,'\"]|$)", "~", text)
    text = _ANY_HOME.sub(r"/\1/<user>", text)
    for name in identity.users:
        text = _without(text, name, "<user>")
    return _without(text, identity.hostname, "<host>")


def _without(text: str, name: str, instead: str) -> str:
    if len(name) < _SHORTEST or name.lower() in _COMMON:
        return text
    return re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", instead, text)
