"""What systemd is told: ready, alive, stopping (sd_notify, without its library)."""

from __future__ import annotations

import contextlib
import os
import socket

# The status is for people, who look at it right after the start, too.
_STATUS_EVERY_S = 5.0


class Supervisor:
    """Speaks to the service manager named in the environment; silent where there is none."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        told = dict(os.environ) if environment is None else environment
        name = told.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_s = _watchdog(told)

    @property
    def every_s(self) -> float | None:
        """How often to say that we live; None where nobody listens."""
        if not self._address:
            return None
        return min(_STATUS_EVERY_S, (self.watchdog_s or 60.0) / 3)

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
