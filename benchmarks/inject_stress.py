"""Enters real processes more than a thousand times, and counts what was lost.

    python benchmarks/inject_stress.py [--tries 20] [--python PATH ...]

A target is lost when it ended, found its own results wrong, or does not go on beating.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.common import RESULTS, machine
from benchmarks.inject_targets import KINDS, TORCH_KINDS, program
from gpudoctor.errors import GpuDoctorError
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit

COUNT = """
def run():
    import sys
    sys.visits = getattr(sys, "visits", 0) + 1
    return str(sys.visits)
"""
BEAT_S = 30.0


@dataclass
class Row:
    """One target: how often it was entered, how it went, and whether it was harmed."""

    python: str
    kind: str
    tries: int = 0
    done: int = 0
    cancelled: int = 0
    unfinished: int = 0
    errors: list[str] = field(default_factory=list)
    wrong_counts: int = 0
    lost: str | None = None
    median_s: float | None = None
    max_s: float | None = None
    median_stopped_s: float | None = None
    max_stopped_s: float | None = None


class Target:
    """A running target and the page in which it beats."""

    def __init__(self, python: str, kind: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.page = Path(self.folder.name) / "page"
        self.page.write_bytes(bytes(16))
        command = [python, "-c", program(kind), str(self.page)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        if not self.beats():
            raise RuntimeError(f"{python} {kind} did not begin")

    def _count(self) -> int:
        return int.from_bytes(self.page.read_bytes()[:8], "little")

    def beats(self) -> bool:
        """Whether it takes two more turns in time."""
        begun, end = self._count(), time.monotonic() + BEAT_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            if self._count() >= begun + 2:
                return True
            time.sleep(0.01)
        return False

    def harm(self) -> str | None:
        if self.process.poll() is not None:
            return f"ended with {self.process.returncode}"
        if self.page.read_bytes()[8:14] == b"broken":
            return "its own results are wrong"
        return None if self.beats() else "it does not go on"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def stress(python: str, kind: str, tries: int) -> Row:
    """Enters one target `tries` times."""
    version = subprocess.check_output([python, "-V"], text=True).split()[1]
    row = Row(version, kind)
    took: list[float] = []
    stopped: list[float] = []
    target = Target(python, kind)
    try:
        way_in = entrance(target.process.pid)
        for _ in range(tries):
            row.tries += 1
            try:
                done = visit(way_in, COUNT)
            except GpuDoctorError as error:
                row.errors.append(f"{error}: {error.cause}")
                continue
            setattr(row, done.end.value, getattr(row, done.end.value) + 1)
            row.wrong_counts += done.answer is not None and done.answer != str(row.done)
            took.append(done.seconds)
            stopped.append(done.stopped_seconds)
        row.lost = target.harm()
    finally:
        target.close()
    row.median_s, row.max_s = statistics.median(took), max(took)
    row.median_stopped_s, row.max_stopped_s = statistics.median(stopped), max(stopped)
    return row


VISITOR = """
import sys
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit
way_in = entrance(int(sys.argv[1]))
print("ready", flush=True)
while True:
    visit(way_in, "def run(): return ''")
"""


@dataclass
class Interrupted:
    """How often gpudoctor itself was ended by a signal while it entered one target without pause."""

    signal: str
    kind: str
    tries: int
    lost: list[str]


def interrupt(kind: str, wanted: signal.Signals, tries: int) -> Interrupted:
    """Ends gpudoctor itself at random moments while it enters a target without pause."""
    lost: list[str] = []
    target = Target(sys.executable, kind)
    for turn in range(tries):
        command = [sys.executable, "-c", VISITOR, str(target.process.pid)]
        visitor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert visitor.stdout is not None
        visitor.stdout.readline()
        time.sleep(random.uniform(0.0, 0.08))
        visitor.send_signal(wanted)
        visitor.communicate()
        harm = target.harm() if target.process.poll() is not None or turn == tries - 1 else None
        if harm:
            lost.append(harm)
            target.close()
            target = Target(sys.executable, kind)
    target.close()
    print(f"{wanted.name} to the visitor of {kind}: {tries} times, {len(lost)} lost", flush=True)
    return Interrupted(wanted.name, kind, tries, lost)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--kind", action="append", default=[])
    parser.add_argument("--name", default="inject_stress")
    options = parser.parse_args()
    pythons = dict.fromkeys([*options.python, sys.executable])
    jobs = [(one, kind) for one in pythons for kind in KINDS]
    jobs += [(sys.executable, kind) for kind in TORCH_KINDS]
    rows = []
    for python, kind in jobs:
        if options.kind and kind not in options.kind:
            continue
        row = stress(python, kind, options.tries)
        rows.append(row)
        print(
            f"{row.python:8} {kind:22} {row.done}/{row.tries} median {row.median_s:.4f} s "
            f"max {row.max_s:.3f} s stopped {row.median_stopped_s * 1e3:.2f} ms "
            f"{'LOST: ' + row.lost if row.lost else 'unharmed'} {row.errors[:1] or ''}",
            flush=True,
        )
    interrupted = [
        interrupt(kind, wanted, options.interrupts)
        for wanted in (signal.SIGINT, signal.SIGTERM)
        for kind in ("compute", "sleep", "asyncio", "signals-while-asleep")
    ]
    totals = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("tries", "done", "cancelled", "unfinished", "wrong_counts")
    }
    totals |= {"errors": sum(len(row.errors) for row in rows)}
    totals |= {"lost": sum(row.lost is not None for row in rows), "targets": len(rows)}
    print(totals)
    totals |= {"interrupts": sum(one.tries for one in interrupted)}
    totals |= {"lost_by_interrupt": sum(len(one.lost) for one in interrupted)}
    written = machine() | {"totals": totals, "rows": [asdict(row) for row in rows]}
    written |= {"interrupted": [asdict(one) for one in interrupted]}
    (RESULTS / f"{options.name}.json").write_text(json.dumps(written, indent=2) + "\n")
    return 1 if totals["lost"] or totals["wrong_counts"] or totals["lost_by_interrupt"] else 0


if __name__ == "__main__":
    sys.exit(main())
