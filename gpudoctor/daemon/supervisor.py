"""What systemd is told: ready, alive, stopping (sd_notify, without its library)."""

from __future__ import annotations

import contextlib
import os
import socket


class Supervisor:
    """Speaks to the service manager named in the environment; silent where there is none."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        told = dict(os.environ) if environment is None else environment
        name = told.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_s = _watchdog(told)

    def tell(self, *lines: str) -> None:
        """Send assignments such as READY=1. Nobody listening is no failure."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out,
        ):
            out.sendto("\n".join(lines).encode(), self._address)


def _watchdog(told: dict[str, str]) -> float | None:
    """Seconds after which systemd takes us for dead, if it watches us at all."""
    microseconds, pid = told.get("WATCHDOG_USEC", ""), told.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1e6
