"""Runs inside the emulated machine: enters programs of every kind, and prints one JSON line for each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

from benchmarks.inject_stress import stress
from benchmarks.inject_targets import KINDS
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.machines import KNOWN
from gpudoctor.reclaim.ptrace import Stopped

# A reader that its signal handler must reach, although a visit comes at the same moment.
READER = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"handled"))
reads, _ = os.pipe()
os.write(1, b"ready\\n")
os.read(reads, 1)
"""


def signal_during_a_visit() -> bool:
    """Whether the handler of a signal runs that came while a blocked thread was borrowed."""
    with subprocess.Popen([sys.executable, "-c", READER], stdout=subprocess.PIPE) as target:
        assert target.stdout is not None
        target.stdout.readline()
        time.sleep(1.0)
        function = entrance(target.pid).functions["Py_IsInitialized"]
        with Stopped(target.pid) as thread:
            thread.call(function)
            os.kill(target.pid, signal.SIGUSR1)
            thread.call(function)
        time.sleep(2.0)
        target.kill()
        return target.stdout.read() == b"handled"


def main() -> None:
    # The refusal is for machines that nobody has tried; this run is the trying.
    KNOWN["aarch64"] = replace(KNOWN["aarch64"], tested=True)
    tries = int(sys.argv[1])
    print("KERNEL " + json.dumps(os.uname().release), flush=True)
    print("SIGNAL " + json.dumps(signal_during_a_visit()), flush=True)
    for kind in KINDS:
        row = stress(sys.executable, kind, tries)
        print("ROW " + json.dumps(asdict(row)), flush=True)
    print("END " + json.dumps(True), flush=True)


if __name__ == "__main__":
    main()
