"""The TCP ports on which a process listens."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from gpudoctor.host.proc_files import read_text

_LISTEN = "0A"
_SOCKET = re.compile(r"^socket:\[(\d+)\]$")


def listening_ports(folder: Path, links: dict[str, str]) -> tuple[int, ...]:
    """The ports of the sockets among `links` (descriptor to target) of /proc/PID that listen."""
    sockets = {match.group(1) for match in map(_SOCKET.match, links.values()) if match}
    if not sockets:
        return ()
    ports: set[int] = set()
    for table in ("net/tcp", "net/tcp6"):
        for line in (read_text(folder / table) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[9] in sockets:
                with contextlib.suppress(ValueError):
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return tuple(sorted(ports))
