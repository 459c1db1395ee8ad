"""py-spy beside each rank of a job: the ranks call in over a socket, since torchrun starts them, not we."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

from gpudoctor.profile.outside import Outside
from gpudoctor.profile.ranks import rank_number

_LONGEST_NAME = 32
_CALL_S = 10.0
_CREDENTIALS = struct.Struct("3i")


@dataclass(slots=True)
class RanksOutside:
    """Listens for the ranks whose sessions are to lie in folders of `folder`, and lets a py-spy look at each.
    `why_not` is for people: the rank and the reason, where it could not."""

    folder: Path
    native: bool = False
    why_not: str | None = None
    _listener: socket.socket | None = None
    _looking: dict[int, Outside] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def open(self) -> str:
        """Begin to listen; the address for the ranks. It is no path, which could be too long for one."""
        address = f"gpudoctor-{secrets.token_hex(16)}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{address}")
        self._listener.listen(64)
        listen = threading.Thread(target=self._listen, args=(self._listener,), daemon=True)
        # Signals are the main thread's, which waits for them; threads that follow inherit this.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            listen.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return address

    def ended(self) -> None:
        """The job has ended: what py-spy saw goes into the sessions of the ranks."""
        if self._listener is not None:
            # Wakes the thread that waits in accept(), which a mere close would not.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for thread in self._threads:
            thread.join(_CALL_S)
        for rank, one in sorted(self._looking.items()):
            one.ended()
            if one.why_not is not None:
                self.why_not = f"rank {rank}: {one.why_not}"
        if not self._looking:
            self.why_not = "no rank called in"

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                call, _ = listener.accept()
            except OSError:
                return
            one = threading.Thread(target=self._take, args=(call,), daemon=True)
            self._threads.append(one)
            one.start()

    def _take(self, call: socket.socket) -> None:
        call.settimeout(_CALL_S)
        try:
            credentials = call.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, owner, _ = _CREDENTIALS.unpack(credentials)
            rank = rank_number(_line(call))
        except OSError:
            rank, pid, owner = None, 0, -1
        # The address is open to all users of the machine: only our own job may call.
        if rank is None or owner != os.getuid():
            call.close()
            return
        looking = Outside(self.folder / f"rank{rank}", self.native)
        self._looking[rank] = looking
        looking.attach(call, pid)


def _line(call: socket.socket) -> str:
    name = b""
    while not name.endswith(b"\n") and len(name) < _LONGEST_NAME:
        byte = call.recv(1)
        if not byte:
            break
        name += byte
    return name.rstrip(b"\n").decode("ascii", "replace")
