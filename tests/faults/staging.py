"""What may be wrong with a driver, and a machine on which it is."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cuda_sim.build import build as build_cuda
from tests.faults.commands import BARE, COMMANDS, Command, Result, Where
from tests.faults.machines import AS_A_USER, HIDDEN, NOBODY, jumping_clock, why_not
from tests.nvml_sim.build import SONAME, build
from tests.nvml_sim.fixtures import SimDriver
from tests.nvml_sim.machine import SimMachine
from tests.nvml_sim.presets import eight_h100

# The documented ones: fine, findings, usage (a process that cannot be acted on), could not look.
DOCUMENTED = {0, 1, 2, 3}


@dataclass(frozen=True)
class Fault:
    """Something wrong. `stage` brings it about; `missing` is what an older library lacks.

    `library` puts something else in its place.
    `env` is added to the environment, `prefix` put before each command, and `holder` says how the processes
    on the GPU are started.
    `hangs`: commands wait for what does not come, so that all of them can wait at the same time.
    """

    name: str
    stage: Callable[[SimDriver], object]
    missing: tuple[str, ...] = ()
    hangs: bool = False
    library: Callable[[Path], None] | None = None
    env: Callable[[], Mapping[str, str]] = dict
    prefix: tuple[str, ...] = ()
    holder: Mapping[str, object] = field(default_factory=dict)

    def why_not(self) -> str | None:
        """Why it cannot be brought about on this machine; None where it can."""
        return why_not(self.prefix) if self.prefix else None


def _every(code: int) -> Callable[[SimDriver], object]:
    return lambda sim: sim.machine.fault("*", code)


def _on_gpu_2(code: int) -> Callable[[SimDriver], object]:
    return lambda sim: sim.machine.fault("*", code, gpu=2)


LISTS = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
)


def _each(functions: Iterable[str]) -> Callable[[SimDriver], object]:
    return lambda sim: [sim.machine.fault(function, 999) for function in functions]


def _damaged(folder: Path) -> None:
    (folder / SONAME).write_bytes(b"\x7fELF, but the rest was lost\n")


def _foreign(folder: Path) -> None:
    # The C library: it loads, and has none of the functions.
    lines = Path("/proc/self/maps").read_text().splitlines()
    (folder / SONAME).symlink_to(next(line.split()[-1] for line in lines if "/libc.so" in line))


FAULTS: tuple[Fault, ...] = (
    Fault("healthy", lambda sim: None),
    Fault("no GPU in the machine", lambda sim: sim.use(SimMachine([]))),
    Fault("driver not loaded", lambda sim: sim.machine.driver_away()),
    Fault("no permission to open NVML", lambda sim: sim.machine.fail_init(4)),
    Fault("driver and library differ", lambda sim: sim.machine.fail_init(18)),
    Fault("NVML does not open: unknown error", lambda sim: sim.machine.fail_init(999)),
    Fault(
        "NVML hangs while it opens",
        lambda sim: sim.machine.hang("nvmlInitWithFlags", 120),
        hangs=True,
    ),
    Fault("a GPU fell off the bus", lambda sim: sim.machine.lose(2)),
    Fault("every GPU fell off the bus", lambda sim: [sim.machine.lose(gpu) for gpu in range(8)]),
    Fault("one GPU hangs in every call", lambda sim: sim.machine.hang("*", 120, gpu=2), hangs=True),
    Fault(
        "every memory call hangs",
        lambda sim: sim.machine.hang("nvmlDeviceGetMemoryInfo_v2", 120),
        hangs=True,
    ),
    *(
        Fault(f"every call of one GPU answers {code} ({name})", _on_gpu_2(code))
        for code, name in ((3, "not supported"), (4, "no permission"), (16, "reset required"))
    ),
    *(
        Fault(f"every call answers {code} ({name})", _every(code))
        for code, name in ((3, "not supported"), (10, "time-out"), (999, "unknown error"))
    ),
    Fault("every GPU hangs in every call", lambda sim: sim.machine.hang("*", 120), hangs=True),
    Fault(
        "the lists of processes hang",
        lambda sim: sim.machine.hang("nvmlDeviceGetComputeRunningProcesses_v3", 120),
        hangs=True,
    ),
    *(
        Fault(f"{what} answer 999 (unknown error)", _each(names))
        for what, names in (
            ("the memory readings", ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2")),
            ("the names and UUIDs", ("nvmlDeviceGetName", "nvmlDeviceGetUUID")),
            ("the lists of processes", LISTS),
        )
    ),
    Fault("the driver's library is damaged", lambda sim: None, library=_damaged),
    Fault("the driver's library is another program's", lambda sim: None, library=_foreign),
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
    Fault("the processes are another user's", lambda sim: None, prefix=AS_A_USER, holder=NOBODY),
    Fault(
        "/proc hides the processes of others (hidepid=2)",
        lambda sim: None,
        prefix=HIDDEN,
        holder=NOBODY,
    ),
    Fault("the clock jumps by a day, to and fro", lambda sim: None, env=jumping_clock),
)


@contextmanager
def _staged(fault: Fault) -> Iterator[tuple[Path, Mapping[str, str], list[int]]]:
    """The machine with the fault, and two processes that the driver sees on GPU 0 all the while."""
    # Nobody may not enter the folder that an interpreter may lie in.
    program = ["sleep", "600"] if fault.holder else [BARE, "-c", "import time; time.sleep(600)"]
    holders = [subprocess.Popen(program, **fault.holder) for _ in range(2)]  # type: ignore[call-overload]
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            sim = SimDriver(eight_h100(), build(), folder / "state")
            for process, holder in zip(sim.machine.gpus[0].processes, holders, strict=False):
                process.pid = holder.pid
            sim.machine.write(sim.state)
            fault.stage(sim)
            if fault.library:
                fault.library(folder)
                sim.library = folder
            env = sim.env_without(*fault.missing) if fault.missing else sim.env
            yield folder, {**env, **fault.env()}, [holder.pid for holder in holders]
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def _where(own: Path, env: Mapping[str, str], pid: int, command: Command, fault: Fault) -> Where:
    own.mkdir()
    (own / "tiny.py").write_text("print(sum(range(10)))\n")
    more = {
        "PYTHONPATH": "",
        "HOME": str(own),
        "XDG_STATE_HOME": str(own / "state"),
        "GPUDOCTOR_SOCKET": "off",
        "GPUDOCTOR_UI_STATE": "off",
        "COLUMNS": "160",
    }
    if command.loads:
        more["LD_LIBRARY_PATH"] = f"{build_cuda()}:{env['LD_LIBRARY_PATH']}"
    return Where(own, {**env, **more}, pid, fault.prefix)


Seen = dict[str, Result | subprocess.TimeoutExpired]


def under(fault: Fault, commands: Mapping[str, Command] = COMMANDS) -> Seen:
    """How each command ends under one fault; they run at the same time."""

    def run(command: Command, where: Where) -> Result | subprocess.TimeoutExpired:
        try:
            return command.run(where)
        except subprocess.TimeoutExpired as late:
            return late

    with _staged(fault) as (folder, env, pids):
        # What enters a process stands in the way of all others that act on it.
        places = [
            _where(folder / str(number), env, pids[command.enters], command, fault)
            for number, command in enumerate(commands.values())
        ]
        # Those that do something at once would only be in each other's way.
        with ThreadPoolExecutor(len(commands) if fault.hangs else 4) as pool:
            return dict(zip(commands, pool.map(run, commands.values(), places), strict=True))


class Runs:
    """What was seen of each fault; the hangs begin at once and wait while the others run."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        faults = list(faults)
        slow = [fault for fault in faults if fault.hangs]
        # Two at a time: their starts together are more than small machines can do.
        self._pool = ThreadPoolExecutor(2)
        self._begun: dict[str, Future[Seen]] = {
            fault.name: self._pool.submit(under, fault) for fault in slow
        }

    def of(self, fault: Fault) -> Seen:
        """All commands under this fault, run when they are first asked for."""
        if fault.name not in self._begun:
            done: Future[Seen] = Future()
            done.set_result(under(fault))
            self._begun[fault.name] = done
        return self._begun[fault.name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def is_one_object(text: str) -> bool:
    """Whether stdout is one JSON object with its schema's name."""
    return str(json.loads(text)["schema"]).startswith("gpudoctor.")
