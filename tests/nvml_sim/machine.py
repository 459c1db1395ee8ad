"""The machine that the simulated libnvidia-ml.so.1 shows, and the file in which it stands.

A `SimMachine` is changed in Python and saved; every program that runs on the library sees the
change at its next call. Saving replaces the file at once, so nobody reads half of it.

The file holds rows `key value`. A device's keys start with `gpu.I.`, a MIG device's with
`gpu.I.mig.J.`; a key that is absent answers NOT_SUPPORTED. A value is a number, text, a ramp
`base+rate/s`, a wave `low~high/periods`, or `!code`: that NVML error (see `ramp`, `wave`, `error`).

    driver.version driver.nvml_version driver.cuda      what the driver says of itself
    driver.away driver.generation driver.init_error     not loaded; count of reloads; nvmlInit fails
    epoch                                               CLOCK_MONOTONIC at which ramps start
    gpu.count, gpu.I.lost                               how many GPUs; this one fell off the bus
    gpu.I.{name,uuid,serial,vbios,minor,brand,architecture,cores,numa_node,persistence_mode,…}
    gpu.I.pci.{bus_id,device_id,subsystem_id}, gpu.I.compute_capability.{major,minor}
    gpu.I.memory.{total,used,reserved,free,bus_width}, gpu.I.bar1.{total,used}           bytes
    gpu.I.utilization.{gpu,memory,encoder,decoder,jpeg,ofa}                              percent
    gpu.I.power.{usage,average,enforced,limit,default,min,max}_mw, gpu.I.energy_mj, gpu.I.pstate
    gpu.I.temperature.{gpu,memory,shutdown,slowdown,memory_max,gpu_max,margin,…}        Celsius
    gpu.I.fan.count, gpu.I.fan[.N].{percent,rpm}
    gpu.I.clock.[max.|application.|default.]{graphics,sm,memory,video}                   MHz
    gpu.I.clock.reasons[.supported]                     bits of NVML's clock-event reasons
    gpu.I.pcie.{generation,width}[.max], .tx_kib .rx_kib .replays .speed_mbps
    gpu.I.nvlink.count, gpu.I.nvlink[.N].{state,version,speed_mbps,replay,recovery,crc,crc_flit,
          crc_data,ecc_data,tx_kib,rx_kib,remote,remote_type,capabilities}
    gpu.I.ecc.{current,pending,default}, gpu.I.ecc.{corrected,uncorrected}.{volatile,aggregate}[.dram|…]
    gpu.I.rows.{corrected,uncorrected,pending,failure}, gpu.I.retired.{single_bit,double_bit,pending}
    gpu.I.fabric.{state,status,clique,health_mask}, gpu.I.recovery_action, gpu.I.gpm.supported
    gpu.I.gpm.ID, gpu.I.field.ID[.SCOPE], gpu.I.violation.POLICY (ns), gpu.I.topology.J, gpu.I.cpu_affinity
    gpu.I.mig.{current,pending,max}, gpu.I.mig.J.{uuid,name,gi,ci,multiprocessors,gpu_slices,…}
    gpu.I.processes.error                               the process lists fail with this code

and rows that may repeat:

    gpu.I.process.N compute PID BYTES [gi= ci= sm= mem= enc= dec=]   BYTES `-`: not available
    gpu.I.account.N PID [gpu= mem= max= time= start= running=]
    event.N gpu=I type=BITS data=CODE [gi= ci=]
    fault.FUNCTION error CODE [gpu=I]      fault.FUNCTION hang SECONDS [gpu=I]      FUNCTION may be *

Environment of a program: GPUDOCTOR_NVML_SIM_STATE names the file; GPUDOCTOR_NVML_SIM_CALLS, if set,
a file to which the counts of its calls are added when it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

Value = int | float | str

XID = 0x8
GPU_IS_LOST = 15
_saves = count(time.time_ns())


def ramp(base: float, per_second: float) -> str:
    """A value that grows (or falls) from the machine's start on."""
    return f"{base}+{per_second}/s"


def wave(low: float, high: float, period_s: float) -> str:
    """A value that goes up and down between two ends."""
    return f"{low}~{high}/{period_s}s"


def error(code: int) -> str:
    """A value whose reading fails with this NVML error."""
    return f"!{code}"


class _Key:
    """An attribute that stands for one key; None takes the key away."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get__(self, owner: _Keyed, _: type | None = None) -> Value | None:
        return owner.values.get(self.key)

    def __set__(self, owner: _Keyed, value: Value | None) -> None:
        owner[self.key] = value


class _Keyed:
    """Something with keys of its own."""

    values: dict[str, Value]

    def __getitem__(self, key: str) -> Value:
        return self.values[key]

    def __setitem__(self, key: str, value: Value | None) -> None:
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def update(self, values: dict[str, Value | None]) -> None:
        for key, value in values.items():
            self[key] = value


@dataclass
class SimProcess:
    """A process on a GPU. `memory` None: the driver does not tell. `sm` None: no sample of its work."""

    pid: int
    memory: int | None
    kind: str = "compute"
    gi: int | None = None
    ci: int | None = None
    sm: int | None = None
    mem: int | None = None

    def row(self) -> str:
        words = [self.kind, str(self.pid), "-" if self.memory is None else str(self.memory)]
        for name in ("gi", "ci", "sm", "mem"):
            number = getattr(self, name)
            if number is not None:
                words.append(f"{name}={number}")
        return " ".join(words)


class SimMig(_Keyed):
    """One MIG device of a GPU."""

    uuid = _Key("uuid")
    name = _Key("name")
    gi = _Key("gi")
    ci = _Key("ci")
    memory_used = _Key("memory.used")
    memory_total = _Key("memory.total")

    def __init__(self, values: dict[str, Value]) -> None:
        self.values = dict(values)


class SimGpu(_Keyed):
    """One GPU. Without `memory_used` its processes' memory is what is used."""

    name = _Key("name")
    uuid = _Key("uuid")
    memory_total = _Key("memory.total")
    memory_used = _Key("memory.used")
    memory_reserved = _Key("memory.reserved")
    utilization = _Key("utilization.gpu")
    memory_utilization = _Key("utilization.memory")
    power_mw = _Key("power.usage_mw")
    power_limit_mw = _Key("power.enforced_mw")
    temperature = _Key("temperature.gpu")
    memory_temperature = _Key("temperature.memory")
    clock_reasons = _Key("clock.reasons")
    pcie_width = _Key("pcie.width")
    pcie_generation = _Key("pcie.generation")
    ecc_uncorrected = _Key("ecc.uncorrected.volatile")
    recovery_action = _Key("recovery_action")

    def __init__(self, values: dict[str, Value], processes: list[SimProcess] | None = None) -> None:
        self.values = dict(values)
        self.processes = list(processes or ())
        self.migs: dict[int, SimMig] = {}
        self.accounts: list[str] = []
        self.lost = False

    def rows(self) -> Iterator[str]:
        """Rows without the `gpu.I.` in front."""
        if self.lost:
            yield "lost 1"
        if "memory.used" not in self.values and "memory.total" in self.values:
            yield f"memory.used {sum(process.memory or 0 for process in self.processes)}"
        for key, value in self.values.items():
            yield f"{key} {value}"
        for index, mig in self.migs.items():
            for key, value in mig.values.items():
                yield f"mig.{index}.{key} {value}"
        for number, process in enumerate(self.processes):
            yield f"process.{number} {process.row()}"
        for number, account in enumerate(self.accounts):
            yield f"account.{number} {account}"


@dataclass
class SimMachine:
    """A machine and its driver. The methods below save at once; after other changes call `save`."""

    gpus: list[SimGpu] = field(default_factory=list)
    driver_version: str = "580.95.05"
    nvml_version: str = "13.580.95.05"
    cuda: int = 13000
    path: Path | None = None

    def __post_init__(self) -> None:
        self._epoch = time.monotonic()
        self._away = False
        self._generation = 0
        self._init_error = 0
        self._faults: list[str] = []
        self._events: list[str] = []

    def write(self, path: Path) -> None:
        """Names the file and saves to it."""
        self.path = path
        self.save()

    def save(self) -> None:
        """Replaces the file. Its time is never one that it had before."""
        if self.path is None:
            raise ValueError("this machine has no file yet; use write(path)")
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        scratch.write_text(self.text())
        stamp = next(_saves)
        os.utime(scratch, ns=(stamp, stamp))
        scratch.replace(self.path)

    def text(self) -> str:
        """What stands in the file."""
        return "".join(f"{row}\n" for row in self._rows())

    def _rows(self) -> Iterator[str]:
        yield f"epoch {self._epoch}"
        yield f"driver.version {self.driver_version}"
        yield f"driver.nvml_version {self.nvml_version}"
        yield f"driver.cuda {self.cuda}"
        yield f"driver.generation {self._generation}"
        yield f"driver.away {int(self._away)}"
        yield f"driver.init_error {self._init_error}"
        yield f"gpu.count {len(self.gpus)}"
        for index, gpu in enumerate(self.gpus):
            yield from (f"gpu.{index}.{row}" for row in gpu.rows())
        yield from self._faults
        yield from self._events

    def _save_if_written(self) -> None:
        if self.path is not None:
            self.save()

    def fault(self, function: str, error: int, gpu: int | None = None) -> None:
        """Makes a function (`*`: every one) fail with an NVML error, on one GPU or on all."""
        self._faults.append(f"fault.{function} error {error}{_on(gpu)}")
        self._save_if_written()

    def hang(self, function: str, seconds: float, gpu: int | None = None) -> None:
        """Makes a function take that long. Clearing the faults lets waiting calls go on."""
        self._faults.append(f"fault.{function} hang {seconds}{_on(gpu)}")
        self._save_if_written()

    def clear_faults(self) -> None:
        self._faults.clear()
        self._save_if_written()

    def lose(self, gpu: int) -> None:
        """The GPU falls off the bus."""
        self.gpus[gpu].lost = True
        self._save_if_written()

    def find(self, gpu: int) -> None:
        """The GPU is back on the bus."""
        self.gpus[gpu].lost = False
        self._save_if_written()

    def driver_away(self) -> None:
        """The driver is unloaded: calls answer DRIVER_NOT_LOADED."""
        self._away = True
        self._save_if_written()

    def driver_back(self) -> None:
        """The driver is loaded again: old handles are void until NVML is opened anew."""
        self._away = False
        self._generation += 1
        self._save_if_written()

    def fail_init(self, code: int) -> None:
        """nvmlInit fails with this error; 0 lets it work again."""
        self._init_error = code
        self._save_if_written()

    def event(self, gpu: int, kind: int, data: int = 0, mig: SimMig | None = None) -> None:
        """Something for those who wait for events."""
        where = "" if mig is None else f" gi={mig.gi} ci={mig.ci}"
        number = len(self._events) + 1
        self._events.append(f"event.{number} gpu={gpu} type={kind} data={data}{where}")
        self._save_if_written()

    def forget_events(self) -> None:
        """Starts their numbers anew. Only while the driver is away, when nobody waits for any."""
        self._events.clear()
        self._save_if_written()

    def xid(self, gpu: int, code: int) -> None:
        """The driver reports an Xid of this GPU."""
        self.event(gpu, XID, code)


def _on(gpu: int | None) -> str:
    return "" if gpu is None else f" gpu={gpu}"
