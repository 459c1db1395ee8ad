"""Where the daemon listens: `host:port`, `:port`, `[::1]:port` or `unix:/path`."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.errors import GpuDoctorError

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """A place to listen at: a host and a port, or the path of a UNIX socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @property
    def url(self) -> str:
        """The address as one would type it into a browser."""
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host or "0.0.0.0"  # noqa: S104
        return f"http://{host}:{self.port}/"


def parse(text: str) -> Address:
    """The address that `text` names.

    Raises:
        GpuDoctorError: `text` is no address.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path:
            return Address(path=Path(path))
    else:
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        numbered = bool(colon) and port.isascii() and port.isdigit() and int(port) < 65536
        if numbered and (host != bare or ":" not in host):
            return Address(bare, int(port))
    raise GpuDoctorError(
        f"{text!r} is no address to listen at",
        hint="Give HOST:PORT as in 127.0.0.1:9836 or [::1]:9836, or unix:/PATH.",
    )


def bind(address: Address, *, everybody: bool = False) -> socket.socket:
    """A listening socket; a UNIX socket is for its owner and group alone unless it is for everybody.

    Raises:
        GpuDoctorError: the address is taken, forbidden or unknown.
    """
    try:
        if address.path is None:
            return _bind_port(address)
        return _bind_path(address.path, 0o111 if everybody else 0o117)
    except OSError as error:
        taken = isinstance(error, FileExistsError) or "in use" in str(error)
        raise GpuDoctorError(
            f"cannot listen at {address.url}",
            cause=error.strerror or str(error),
            hint="Another program listens there; give another address with --listen."
            if taken
            else "Give another address with --listen.",
        ) from error


def bound(address: Address, listening: socket.socket) -> Address:
    """`address` with the port that the system chose where 0 was asked for."""
    if address.path is not None:
        return address
    return Address(address.host, int(listening.getsockname()[1]))


def release(address: Address, listening: socket.socket) -> None:
    """Stop listening, and remove the socket's file."""
    listening.close()
    if address.path is not None:
        address.path.unlink(missing_ok=True)


def _bind_port(address: Address) -> socket.socket:
    host = address.host or None
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, place = found[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _bind_path(path: Path, umask: int) -> socket.socket:
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode) or _answers(path):
            raise FileExistsError(17, "in use")
        # A daemon that was killed leaves its socket behind; nobody listens there.
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Usually only the owner and the group may connect: users and command lines are no public matter.
    before = os.umask(umask)
    try:
        listening.bind(str(path))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
