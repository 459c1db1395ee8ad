"""What may be wrong with a driver, and the commands that look at one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.nvml_sim.fixtures import SimDriver
from tests.nvml_sim.machine import SimMachine

# An interpreter without torch: importing torch a hundred times would test nothing more.
BARE = str(Path(sys.base_prefix) / "bin" / "python3")

# Each command as a user types it, and the seconds that it may take whatever the driver does.
COMMANDS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "gpudoctor | cat": ((), 15),
    "ps": (("ps",), 15),
    "ps --json": (("ps", "--json"), 15),
    "env --json": (("env", "--json", "--python", BARE, "--timeout", "10"), 30),
    "check --json": (("check", "--json", "--python", BARE), 20),
    "visible --json": (("visible", "--json", "--timeout", "5"), 20),
    "pick -n 1": (("pick", "-n", "1"), 20),
    "orphans --json": (("orphans", "--json", "--window", "0"), 20),
    "record": (("record", "recording.ndjson", "--duration", "1", "--interval", "0.5"), 20),
}
# The documented ones: fine, findings, usage, could not look.
DOCUMENTED = {0, 1, 3}


@dataclass(frozen=True)
class Fault:
    """Something wrong. `stage` brings it about; `missing` is what an older library lacks."""

    name: str
    stage: Callable[[SimDriver], object]
    missing: tuple[str, ...] = ()


def _every(code: int) -> Callable[[SimDriver], object]:
    return lambda sim: sim.machine.fault("*", code)


def _on_gpu_2(code: int) -> Callable[[SimDriver], object]:
    return lambda sim: sim.machine.fault("*", code, gpu=2)


FAULTS: tuple[Fault, ...] = (
    Fault("healthy", lambda sim: None),
    Fault("no GPU in the machine", lambda sim: sim.use(SimMachine([]))),
    Fault("driver not loaded", lambda sim: sim.machine.driver_away()),
    Fault("no permission to open NVML", lambda sim: sim.machine.fail_init(4)),
    Fault("driver and library differ", lambda sim: sim.machine.fail_init(18)),
    Fault("NVML does not open: unknown error", lambda sim: sim.machine.fail_init(999)),
    Fault("NVML hangs while it opens", lambda sim: sim.machine.hang("nvmlInitWithFlags", 120)),
    Fault("a GPU fell off the bus", lambda sim: sim.machine.lose(2)),
    Fault("every GPU fell off the bus", lambda sim: [sim.machine.lose(gpu) for gpu in range(8)]),
    Fault("one GPU hangs in every call", lambda sim: sim.machine.hang("*", 120, gpu=2)),
    Fault(
        "every memory call hangs", lambda sim: sim.machine.hang("nvmlDeviceGetMemoryInfo_v2", 120)
    ),
    *(
        Fault(f"every call of one GPU answers {code} ({name})", _on_gpu_2(code))
        for code, name in ((3, "not supported"), (4, "no permission"), (16, "reset required"))
    ),
    *(
        Fault(f"every call answers {code} ({name})", _every(code))
        for code, name in ((3, "not supported"), (10, "time-out"), (999, "unknown error"))
    ),
    Fault(
        "an older driver",
        lambda sim: None,
        (
            "nvmlDeviceGetMemoryInfo_v2",
            "nvmlDeviceGetComputeRunningProcesses_v3",
            "nvmlDeviceGetGraphicsRunningProcesses_v3",
            "nvmlDeviceGetMPSComputeRunningProcesses_v3",
            "nvmlGpmQueryDeviceSupport",
            "nvmlDeviceGetFieldValues",
            "nvmlEventSetWait_v2",
        ),
    ),
)


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def says(self) -> str:
        """The error's first line, or how many seconds of what it took."""
        first = self.stderr.strip().splitlines()
        for line in first:
            if line.startswith("error: "):
                return line.removeprefix("error: ")
        return ""


def run(sim: SimDriver, fault: Fault, command: str, folder: str) -> Result:
    """One command under one fault."""
    fault.stage(sim)
    env = sim.env_without(*fault.missing) if fault.missing else sim.env
    words, limit = COMMANDS[command]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "gpudoctor", *words],
        cwd=folder, env={**env, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=limit,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


def is_one_object(text: str) -> bool:
    """Whether stdout is one JSON object with its schema's name."""
    return str(json.loads(text)["schema"]).startswith("gpudoctor.")
