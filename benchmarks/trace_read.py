"""Reading a big Chrome trace of torch's profiler: gpudoctor's typed reading against `json.load`, each in a
process of its own, with the most memory that it took."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import machine, write

SIZE = 500_000_000
READERS = {
    "json.load": "import json, sys; json.load(open(sys.argv[1]))",
    "gpudoctor": (
        "import sys; from pathlib import Path; from gpudoctor.profile.trace import read_trace; "
        "read_trace(Path(sys.argv[1]), 77)"
    ),
    "gpudoctor, to the finished window": (
        "import sys; from pathlib import Path; from gpudoctor.profile.trace import read_trace; "
        "from gpudoctor.profile.window import window_of; "
        "from gpudoctor.profile.session import WindowSeen; "
        "seen = WindowSeen(state='done', steps=1, seconds=1.0); "
        "window_of(read_trace(Path(sys.argv[1]), 77), seen)"
    ),
}
NAMES = ("aten::linear", "aten::addmm", "aten::copy_", "aten::mm", "aten::add_", "aten::t")


def make(path: Path) -> int:
    """Write a trace of about SIZE bytes in the profiler's own layout; the number of its events."""
    with path.open("w") as file:
        file.write('{"schemaVersion": 1, "baseTimeNanoseconds": 0, "traceEvents": [\n')
        count = 0
        while file.tell() < SIZE or count % 20_000:
            name = NAMES[count % len(NAMES)]
            file.write(
                f'  {{\n    "ph": "X", "cat": "cpu_op", "name": "{name}", "pid": 77, "tid": 77,\n'
                f'    "ts": {4389610121459.443 + count * 3:.3f}, "dur": {1.5 + count % 7:.3f},\n'
                f'    "args": {{\n      "External id": {count},"Record function id": 0, '
                f'"Sequence number": {count // 3}, "Fwd thread id": 0, "Ev Idx": {count}\n    }}\n  }},\n'
            )
            count += 1
        file.write('  {"ph": "M", "name": "process_name", "pid": 77, "tid": 0}\n]}\n')
    return count


def read(code: str, path: Path) -> tuple[float, int]:
    """Seconds and the peak of the resident memory, in bytes, of one reader."""
    begun = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code, str(path)], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"a reader failed: {status}")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024


def main() -> None:
    """Measure and write results/trace_read.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        events = make(path)
        size = path.stat().st_size
        rows = {}
        for name, code in READERS.items():
            rounds = [read(code, path) for _ in range(3)]
            seconds, memory = min(r[0] for r in rounds), max(r[1] for r in rounds)
            rows[name] = {"best_s": seconds, "peak_bytes": memory, "peak_ratio": memory / size}
            print(f"  {name:35} {seconds:6.2f} s  {memory / size:5.2f} times the file in memory")
    write(
        "trace_read",
        {
            "title": "Reading a big trace",
            **machine(),
            "file_bytes": size,
            "events": events,
            "aim": "at most 3 times the file in memory, and faster than json.load",
            "readers": rows,
        },
    )


if __name__ == "__main__":
    main()
