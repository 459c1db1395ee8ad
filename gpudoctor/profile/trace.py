"""Reads a Chrome trace of torch's profiler: the events that matter, typed, and nothing else of it."""

from __future__ import annotations

import mmap
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.decoding import decoder

# Decoded, a trace takes a few times as much memory.
MOST_BYTES = 4 * 1024**3
_ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")


class _Arguments(msgspec.Struct, gc=False):
    external: int | None = msgspec.field(default=None, name="External id")
    dims: Any = msgspec.field(default=None, name="Input Dims")
    types: Any = msgspec.field(default=None, name="Input type")


class Event(msgspec.Struct, gc=False):
    """One event; `ts` and `dur` in microseconds."""

    ph: str
    name: str = ""
    cat: str = ""
    pid: int | str = 0
    tid: int | str = 0
    ts: float = 0.0
    dur: float = 0.0
    id: int | str | None = None
    args: _Arguments | None = None

    @property
    def end(self) -> float:
        """When it ended, in microseconds."""
        return self.ts + self.dur

    @property
    def external(self) -> int | None:
        """The number that ties a kernel to the operator which launched it."""
        return None if self.args is None else self.args.external

    @property
    def tensors(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Type and shape of each tensor it was given, where shapes were recorded; of a list of tensors
        their number."""
        args = self.args
        if args is None or not (isinstance(args.dims, list) and isinstance(args.types, list)):
            return ()
        return tuple(
            (str(kind), _shape(dims))
            for kind, dims in zip(args.types, args.dims, strict=False)
            if isinstance(dims, list) and dims and not str(kind).startswith("Scalar")
        )


def _shape(dims: list[Any]) -> tuple[int, ...]:
    return tuple(dims) if all(isinstance(one, int) for one in dims) else (len(dims),)


class _Trace(msgspec.Struct, gc=False):
    events: list[Event] = msgspec.field(name="traceEvents")
    base_ns: int = msgspec.field(default=0, name="baseTimeNanoseconds")


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of a trace: the main thread's, those of all threads, the GPU's, and runtime calls;
    arrows (ph "s" and "f") tie the forward's operators to the backward's. Times count from `base_ns`."""

    main: list[Event]
    host: list[Event]
    device: list[Event]
    runtime: list[Event]
    arrows: list[Event] = field(default_factory=list)
    base_ns: int = 0


def read_trace(path: Path, main_thread: int, until_ns: int = 0) -> Trace:
    """The trace in `path` (.json or .json.gz); `main_thread` is the system's id of the main thread.

    What lies after `until_ns` (Unix time; 0: no limit) is cut off: it is the profiler's own end.

    Raises:
        GpuDoctorError: the file cannot be read, or is cut off.
    """
    try:
        whole = _decode(path)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise GpuDoctorError(
            f"the trace {path.name} cannot be read",
            cause=str(error),
            hint="It may be cut off. What does not need it is still reported.",
        ) from error
    last = (until_ns - whole.base_ns) / 1000 if until_ns else float("inf")
    events = [event for event in whole.events if event.ph == "X" and event.ts < last]
    for event in events:
        event.dur = min(event.dur, last - event.ts)
    host = sorted(
        (event for event in events if event.cat in ("cpu_op", "user_annotation")),
        key=lambda event: (event.ts, -event.dur),
    )
    return Trace(
        main=[event for event in host if event.tid == main_thread],
        host=host,
        device=[event for event in events if event.cat in _ON_DEVICE],
        runtime=[event for event in events if event.cat in ("cuda_runtime", "cuda_driver")],
        arrows=[event for event in whole.events if event.cat == "fwdbwd"],
        base_ns=whole.base_ns,
    )


def _unpacked(packed: bytes) -> bytes:
    """What was compressed with gzip, unless it is so much that memory might not suffice."""
    unpacking = zlib.decompressobj(wbits=31)
    data = unpacking.decompress(packed, MOST_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError(f"it is too big: more than {MOST_BYTES} bytes")
    if not unpacking.eof:
        raise EOFError("it is cut off")
    return data


def _decode(path: Path) -> _Trace:
    reader = decoder(_Trace)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    if path.suffix == ".gz":
        return reader.decode(_unpacked(path.read_bytes()))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return reader.decode(view)
