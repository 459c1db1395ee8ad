"""The driver by its two witnesses: NVML and the kernel module."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.background import Background
from gpudoctor.host.containers import read_text
from gpudoctor.model.environment import DriverKind, DriverReport, GpuRow
from gpudoctor.model.process import DeviceProcess
from gpudoctor.model.readings import MigReading
from gpudoctor.nvml.api import Nvml, NvmlCallError, NvmlUnavailableError

T = TypeVar("T")
LIMIT_S = 5.0
_MODULE = re.compile(r"^NVRM version:\s.*?Module(?:\s+for\s+\S+)?\s+(\d+(?:\.\d+)+)", re.MULTILINE)


def module_report(root: Path = Path("/")) -> DriverReport:
    """What the kernel says: /proc/driver/nvidia/version and the loaded modules."""
    text = read_text(root / "proc/driver/nvidia/version")
    match = _MODULE.search(text)
    loaded = tuple(
        sorted(
            name
            for name in (line.partition(" ")[0] for line in _modules(root))
            if name == "nvidia" or name.startswith("nvidia_")
        )
    )
    kind = DriverKind.NONE
    if text:
        kind = DriverKind.OPEN if "Open Kernel Module" in text else DriverKind.PROPRIETARY
    return DriverReport(
        module_version=match[1] if match else None,
        module_kind=kind,
        modules_loaded=loaded,
        nouveau_loaded=any(line.startswith("nouveau ") for line in _modules(root)),
    )


def _modules(root: Path) -> list[str]:
    return read_text(root / "proc/modules").splitlines()


def driver_report(
    opened: Nvml | NvmlUnavailableError, root: Path = Path("/"), limit_s: float = LIMIT_S
) -> DriverReport:
    """The whole report. A GPU that does not answer within `limit_s` seconds is left out, and said so."""
    report = module_report(root)
    if isinstance(opened, NvmlUnavailableError):
        return replace(
            report,
            nvml_error=opened.message,
            nvml_cause=opened.cause,
            nvml_hint=opened.hint,
            nvml_code=opened.code,
        )
    until = time.monotonic() + limit_s
    asked = _Call(opened.driver)
    rows = [
        _Call(functools.partial(_row, opened, index))
        for index in range(_Call(opened.device_count).result(until) or 0)
    ]
    driver = asked.result(until)
    gpus = [row for row in [call.result(until) for call in rows] if row is not None]
    problems = [f"GPU {number}: {call.error}" for number, call in enumerate(rows) if call.error]
    if asked.error:
        problems.insert(0, asked.error)
    return replace(
        report,
        source=opened.source,
        nvml_driver_version=driver.version if driver else None,
        nvml_version=driver.nvml_version if driver else None,
        cuda_version=driver.cuda_version if driver else None,
        nvml_error="; ".join(problems) or None,
        gpus=tuple(gpus),
    )


def _row(nvml: Nvml, index: int) -> GpuRow:
    device = nvml.device(index)
    facts = device.facts()
    try:
        return GpuRow(facts, device.mig())
    except NvmlCallError:
        return GpuRow(facts, MigReading())


def uses_of(
    nvml: Nvml, pid: int, gpus: Sequence[GpuRow], limit_s: float = LIMIT_S
) -> tuple[tuple[GpuRow, DeviceProcess], ...]:
    """The GPUs on whose process lists `pid` (of the host's namespace) stands."""
    until = time.monotonic() + limit_s
    calls = [(gpu, _Call(functools.partial(_processes, nvml, gpu.facts.index))) for gpu in gpus]
    rows = [(gpu, call.result(until) or ()) for gpu, call in calls]
    return tuple((gpu, process) for gpu, held in rows for process in held if process.pid == pid)


def _processes(nvml: Nvml, index: int) -> tuple[DeviceProcess, ...]:
    return nvml.device(index).processes()


class _Call(Generic[T]):
    """A call into the driver in a thread of its own, because any of them may never return."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.error: str | None = None
        self._task = Background(function)

    def result(self, until: float) -> T | None:
        """What it returned before the clock (monotonic) says `until`, or None with `error` set."""
        try:
            return self._task.result(max(0.0, until - time.monotonic()))
        except (NvmlCallError, GpuDoctorError, TimeoutError) as error:
            self.error = str(error)
            return None
