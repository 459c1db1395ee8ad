"""The fixture `cuda_sim`: simulated checkpoints of real processes on the simulated GPUs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cuda_sim.build import build
from tests.libraries import NoCompilerError
from tests.nvml_sim.fixtures import SimDriver
from tests.nvml_sim.machine import SimGpu, SimProcess

MIB = 1024**2
RUNNING, LOCKED, CHECKPOINTED = 0, 1, 2

# Works on while its CUDA calls are not blocked, and counts; says when it has begun.
_JOB = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
state, count = folder / str(os.getpid()), folder / f'{os.getpid()}.count'
state.write_text('0')
done = 0
while True:
    if state.read_text().strip() == '0':
        done += 1
        count.write_text(str(done))
    if done == 1:
        print('ready', flush=True)
    time.sleep(0.01)
"""


@dataclass
class Job:
    """A real process that, as far as the simulated drivers know, holds memory of GPUs."""

    child: subprocess.Popen[str]
    state_file: Path
    count_file: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def state(self) -> int:
        return int(self.state_file.read_text())

    @property
    def count(self) -> int:
        """How many steps of its work it has done."""
        return int(self.count_file.read_text() or 0)

    @property
    def alive(self) -> bool:
        return self.child.poll() is None


@dataclass
class SimCuda:
    """The simulated libcuda.so.1; `env` is for programs that are to see both drivers."""

    nvml: SimDriver
    folder: Path
    state_home: Path
    library: Path
    jobs: list[Job] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        base = self.nvml.env
        return {
            **base,
            "LD_LIBRARY_PATH": f"{self.library}:{base['LD_LIBRARY_PATH']}",
            "GPUDOCTOR_CUDA_SIM": str(self.folder),
            "XDG_STATE_HOME": str(self.state_home),
        }

    def job(self, *gpus: int, mib: int = 512, env: dict[str, str] | None = None) -> Job:
        """Starts a process that holds `mib` MiB of each of these GPUs."""
        child = subprocess.Popen(
            [sys.executable, "-c", _JOB, str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        made = Job(child, self.folder / str(child.pid), self.folder / f"{child.pid}.count")
        self.jobs.append(made)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for index in gpus or (0,):
            self.gpu(index).processes.append(SimProcess(child.pid, mib * MIB))
        self.nvml.save()
        return made

    def gpu(self, index: int) -> SimGpu:
        return self.nvml.machine.gpus[index]

    def fault(self, function: str, kind: str, value: float = 0) -> None:
        """See src/cuda.c: error, after, hang, die, crash."""
        with (self.folder / "faults").open("a") as file:
            file.write(f"{function} {kind} {value}\n")

    def clear_faults(self) -> None:
        (self.folder / "faults").unlink(missing_ok=True)

    def busy(self, job: Job) -> None:
        (self.folder / f"{job.pid}.busy").touch()

    def without(self, *functions: str) -> None:
        """An older driver that lacks these functions."""
        self.library = build(functions)

    @property
    def calls(self) -> list[str]:
        """The functions that were called, in order, without the questions for the state."""
        path = self.folder / "calls"
        rows = path.read_text().splitlines() if path.exists() else []
        return [name for name in (row.split()[0] for row in rows) if name != "GetState"]

    def close(self) -> None:
        for job in self.jobs:
            job.child.kill()
            job.child.wait()
            assert job.child.stdout is not None
            job.child.stdout.close()


@pytest.fixture
def cuda_sim(nvml_sim: SimDriver, tmp_path: Path) -> Iterator[SimCuda]:
    """A simulated libcuda.so.1 beside the simulated NVML, with eight GPUs that nobody uses yet."""
    try:
        library = build()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    for gpu in nvml_sim.machine.gpus:
        gpu.processes.clear()
    nvml_sim.save()
    folder = tmp_path / "cuda-sim"
    folder.mkdir()
    sim = SimCuda(nvml_sim, folder, tmp_path / "state-home", library)
    yield sim
    sim.close()
