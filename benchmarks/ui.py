"""The terminal UI beside nvitop on one simulated driver: first frame, CPU and memory, one look a second.

python -m benchmarks.ui
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.common import BIN, machine, write
from tests.nvml_sim.build import build
from tests.nvml_sim.machine import SimMachine, SimProcess
from tests.nvml_sim.presets import GIB, h100

SIZE = (160, 80)
ROUNDS = 3
SETTLE_S = 3.0
MEASURE_S = 10.0
LOADS = ((8, 64), (16, 500))
CONTENDERS = {
    "gpudoctor": [str(BIN / "gpudoctor")],
    "nvitop": [str(BIN / "nvitop"), "--monitor", "full", "--interval", "1"],
}


@contextlib.contextmanager
def loaded(gpus: int, processes: int) -> Iterator[tuple[dict[str, str], list[int]]]:
    """A simulated driver with real, sleeping processes on it: the environment, and their pids."""
    sleepers = [subprocess.Popen(["sleep", "3600"]) for _ in range(processes)]
    pids = [sleeper.pid for sleeper in sleepers]
    try:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            shown = SimMachine([h100(index % 8) for index in range(gpus)])
            for index, gpu in enumerate(shown.gpus):
                gpu.uuid = f"GPU-5e1f0d0c-{index:04d}-4de0-b0de-0000000000{index:02d}"
                gpu["pci.bus_id"] = f"00000000:{index + 1:02X}:00.0"
                mine = pids[index::gpus]
                gpu.processes = [SimProcess(pid, GIB + pid * 4096, sm=1) for pid in mine]
                gpu.utilization = "20~95/7s"
                gpu.temperature = "40~70/9s"
                gpu.power_mw = "100000~600000/7s"
            shown.write(state)
            where = {"LD_LIBRARY_PATH": str(build()), "GPUDOCTOR_NVML_SIM_STATE": str(state)}
            yield {**os.environ, **where, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}, pids
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


class Pane:
    """A tmux pane that runs one program."""

    def __init__(self, command: list[str], env: dict[str, str], number: int) -> None:
        self._server = ["tmux", "-L", f"bench-{os.getpid()}-{number}", "-f", os.devnull]
        self._env = env
        width, height = map(str, SIZE)
        # The server is up before the clock starts: its start is not the program's.
        self._tmux("-u", "new-session", "-d", "-x", width, "-y", height, "sleep 3600")
        self.begun = time.perf_counter()
        self._tmux("respawn-pane", "-k", f"exec {' '.join(command)}")

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._server, *arguments], env=self._env, capture_output=True, text=True, check=True
        ).stdout

    def first_frame(self, pids: list[int], limit_s: float = 60.0) -> float:
        """Seconds until the table of processes shows one of `pids`."""
        wanted = {str(pid) for pid in pids}
        while time.perf_counter() - self.begun < limit_s:
            if wanted & set(self._tmux("capture-pane", "-p").split()):
                return time.perf_counter() - self.begun
            time.sleep(0.01)
        raise TimeoutError(self._tmux("capture-pane", "-p"))

    def process(self) -> psutil.Process:
        """The program."""
        return psutil.Process(int(self._tmux("display-message", "-p", "#{pane_pid}")))

    def close(self) -> None:
        """End the program."""
        subprocess.run([*self._server, "kill-server"], capture_output=True, check=False)


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


def measure(
    command: list[str], env: dict[str, str], pids: list[int], number: int
) -> dict[str, float]:
    """One run of one program."""
    pane = Pane(command, env, number)
    try:
        frame = pane.first_frame(pids)
        process = pane.process()
        started = spent(process)
        time.sleep(SETTLE_S)
        before, begun = spent(process), time.perf_counter()
        time.sleep(MEASURE_S)
        return {
            "first_frame_s": frame,
            "cpu_to_first_frame_s": started,
            "cpu_ratio": (spent(process) - before) / (time.perf_counter() - begun),
            "resident_bytes": float(process.memory_info().rss),
        }
    finally:
        pane.close()


def main() -> None:
    """Measure, print, write results/ui.json."""
    results = []
    for gpus, processes in LOADS:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        with loaded(gpus, processes) as (env, pids):
            for turn in range(ROUNDS):
                for place, (name, command) in enumerate(CONTENDERS.items()):
                    runs[name].append(measure(command, env, pids, turn * 10 + place))
        print(f"\n{gpus} GPUs, {processes} processes, {SIZE[0]}x{SIZE[1]}, medians of {ROUNDS}")
        for name, rows in runs.items():
            medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            results.append(
                {"name": name, "gpus": gpus, "processes": processes, **medians, "runs": rows}
            )
            print(
                f"  {name:10} first frame {medians['first_frame_s'] * 1e3:6.0f} ms"
                f"  CPU {medians['cpu_ratio'] * 100:5.2f} %  {medians['resident_bytes'] / 2**20:6.1f} MiB"
            )
    write("ui", {"title": "terminal UI at one look a second", **machine(), "results": results})


if __name__ == "__main__":
    main()
