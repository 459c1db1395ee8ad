"""The simulated driver for measurements: the one that the tests use, with real processes on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.nvml_sim.build import build
from tests.nvml_sim.presets import eight_h100


@contextlib.contextmanager
def simulated(processes: int = 12) -> Iterator[dict[str, str]]:
    """The environment in which programs see 8 GPUs with `processes` real, sleeping processes."""
    sleepers = [subprocess.Popen(["sleep", "3600"]) for _ in range(processes)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            machine = eight_h100(pids=[sleeper.pid for sleeper in sleepers])
            machine.write(state)
            yield {
                **os.environ,
                "LD_LIBRARY_PATH": str(build()),
                "GPUDOCTOR_NVML_SIM_STATE": str(state),
            }
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
