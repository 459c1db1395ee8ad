"""The NVIDIA driver's lines in the kernel log, as far as we may read them."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.host.proc_files import whole_number
from gpudoctor.host.tools import answer_of

LIMIT_S = 4.0
_WANTED = re.compile(r"NVRM|nvidia|Key was rejected|fallen off the bus|request_free_mem_region")
_XID = re.compile(
    r"NVRM: Xid \((?P<pci>(?:PCI:)?[0-9a-fA-F:.]+)\)[^:]*?: (?P<code>[0-9]{1,9})(?P<rest>.*)"
)
_RECORD_BYTES = 8192


@dataclass(frozen=True, slots=True)
class XidLine:
    """One Xid in the log. `pci` is the address as the log writes it, such as "0000:01:00".

    `details` is what the line says after the number.
    """

    pci: str
    code: int
    text: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class KernelLog:
    """The lines since boot that name the driver, and where they were read."""

    source: str
    lines: tuple[str, ...]

    def xids(self) -> tuple[XidLine, ...]:
        """The Xids, oldest first. A GPU that fell off the bus without a number counts as Xid 79."""
        return xids_of(self.lines)

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The lines in which the regular expression is found."""
        return tuple(line for line in self.lines if re.search(pattern, line))


def xids_of(lines: Iterable[str]) -> tuple[XidLine, ...]:
    """The Xids in lines of the log, in their order."""
    found = []
    for line in lines:
        match = _XID.search(line)
        if match:
            pci = match["pci"].removeprefix("PCI:")
            details = match["rest"].strip(" ,")
            found.append(XidLine(pci, int(match["code"]), line, details))
    return tuple(found)


def read_kernel_log(
    kmsg: Path = Path("/dev/kmsg"), journal: bool = True, limit_s: float = LIMIT_S
) -> KernelLog | None:
    """The log of this boot from /dev/kmsg, else from the journal; None when we may read neither."""
    records = _kmsg(kmsg, limit_s)
    if records is not None:
        return KernelLog(str(kmsg), tuple(line for line in records if _WANTED.search(line)))
    return _journal(limit_s) if journal else None


def _kmsg(path: Path, limit_s: float) -> list[str] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    lines: list[str] = []
    until = time.monotonic() + limit_s
    try:
        while time.monotonic() < until:
            record = read_record(descriptor)
            if record is None:
                break
            # Lines that begin with a blank are the record's properties, not its message.
            lines += [
                _dated(line) for line in record.splitlines() if line and not line.startswith(" ")
            ]
    except PermissionError:
        return None
    finally:
        os.close(descriptor)
    return lines


def _dated(line: str) -> str:
    """The message of `priority,number,microseconds,flags;message`, with the time of day before it."""
    head, _, message = line.partition(";")
    fields = head.split(",")
    since_boot = whole_number(fields[2]) if message and len(fields) > 2 else None
    if since_boot is None:
        return line
    at = time.time() - (time.monotonic() - since_boot / 1e6)
    try:
        when = dt.datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return line
    return f"{when} {message}"


def read_record(descriptor: int) -> str | None:
    """One record of /dev/kmsg (a plain file gives a block); None at the end.

    Raises:
        OSError: it may not be read.
    """
    while True:
        try:
            return os.read(descriptor, _RECORD_BYTES).decode(errors="replace") or None
        except BlockingIOError:
            return None
        except BrokenPipeError:
            continue  # The ring buffer ran over the record that we were to read next.


def _journal(limit_s: float) -> KernelLog | None:
    path = shutil.which("journalctl")
    if path is None:
        return None
    answer = answer_of([path, "-k", "-b", "-q", "--no-pager", "-o", "short-iso"], limit_s)
    if answer.error or not answer.text.strip():
        return None
    lines = tuple(line for line in answer.text.splitlines() if _WANTED.search(line))
    return KernelLog("journalctl -k", lines)
