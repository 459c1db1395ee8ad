"""`python -m tests.nvml_sim [--pid PID]... COMMAND...`: a command on the simulated driver, by hand.

The processes of --pid hold memory of eight simulated H100, in turn, and do nothing there; one that ends gives
it back. The command's exit code is passed on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.nvml_sim.build import build
from tests.nvml_sim.machine import SimMachine
from tests.nvml_sim.presets import eight_h100

_LOOK_SECONDS = 0.2


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.nvml_sim", description=__doc__)
    arguments.add_argument("--pid", type=int, action="append", default=[], help="it holds memory")
    arguments.add_argument("command", nargs=argparse.REMAINDER)
    given = arguments.parse_args()
    if not given.command:
        arguments.error("name a command, as in: python -m tests.nvml_sim gpudoctor ps")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        machine = _idle(given.pid)
        machine.write(state)
        library = [str(build()), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        told = {"LD_LIBRARY_PATH": ":".join(library), "GPUDOCTOR_NVML_SIM_STATE": str(state)}
        running = subprocess.Popen(given.command, env={**os.environ, **told})
        return _followed(running, machine)


def _idle(pids: list[int]) -> SimMachine:
    machine = eight_h100(pids=pids)
    for gpu in machine.gpus:
        gpu.utilization = gpu.memory_utilization = 0
        for process in gpu.processes:
            process.sm = process.mem = None
    return machine


def _followed(running: subprocess.Popen[bytes], machine: SimMachine) -> int:
    """The exit code of what runs; meanwhile what ends takes its memory with it."""
    while True:
        try:
            return running.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            _forget_the_dead(machine)
        except KeyboardInterrupt:  # the terminal tells the command, too
            continue


def _forget_the_dead(machine: SimMachine) -> None:
    for gpu in machine.gpus:
        alive = [one for one in gpu.processes if _lives(one.pid)]
        if len(alive) != len(gpu.processes):
            gpu.processes[:] = alive
            machine.save()


def _lives(pid: int) -> bool:
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] not in "ZX"  # a zombie holds no memory any more


if __name__ == "__main__":
    sys.exit(main())
