"""Gathers what the checks look at: everything at once, each part with a limit, nothing in our process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpudoctor.checks.context import CheckContext, NvmlFailure
from gpudoctor.checks.facts.distributions import Distributions, read_distributions
from gpudoctor.checks.facts.kernel_log import read_kernel_log
from gpudoctor.checks.facts.machine import read_machine
from gpudoctor.checks.script.source import Script
from gpudoctor.errors import GpuDoctorError
from gpudoctor.host import probe, tools
from gpudoctor.host.interpreter import Target
from gpudoctor.host.libraries import library_path
from gpudoctor.host.system import system_report
from gpudoctor.model.environment import Tool
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.probe import Probe
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.reclaim.looking import local_look, played_look
from gpudoctor.reclaim.orphans import Look, judge

DEFAULT_LIMIT_S = 11.0
_SMI_LIMIT_S = 6.0
# The probe is stopped this long before the limit, so that its half answer still counts.
_MARGIN_S = 1.0
_LOG = logging.getLogger(__name__)
_LATE = "it did not answer in time"
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to gather. Without `target` no interpreter is started; `local` False leaves this machine out."""

    look: Callable[[], Snapshot]
    target: Target | None
    environ: Mapping[str, str]
    script: Script | None = None
    local: bool = True
    root: Path = _ROOT


class _Parts:
    """Runs each part in a thread of its own; one that hangs is left behind at the limit."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.missing: dict[str, str] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, read: Callable[[], Any]) -> None:
        def work() -> None:
            try:
                self.values[name] = read()
            except Exception as error:  # noqa: BLE001 - the other parts still count
                _LOG.debug("%s could not be gathered", name, exc_info=True)
                self.missing[name] = f"{type(error).__name__}: {error}"

        thread = threading.Thread(target=work, name=f"gather-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def wait(self, until: float) -> None:
        """Until all have ended, or the moment `until` of the monotonic clock."""
        waited: set[str] = set()
        # A part may start another one while it runs.
        while left := [name for name in list(self._threads) if name not in waited]:
            for name in left:
                waited.add(name)
                thread = self._threads[name]
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    self.missing[name] = _LATE


def gather(wanted: Wanted, limit_s: float = DEFAULT_LIMIT_S) -> CheckContext:
    """The context. Returns within `limit_s` seconds, with what had answered by then.

    Raises:
        GpuDoctorError: what was to be looked at (a recording) cannot be read.
    """
    until = time.monotonic() + limit_s
    parts = _Parts()
    parts.start("snapshot", lambda: _look(wanted.look, parts))
    if wanted.local:
        _start_local(parts, wanted)
    target = wanted.target
    if target is not None:
        parts.start("probe", lambda: _probe(target, limit_s - _MARGIN_S))
    parts.wait(until)
    return _context(wanted, dict(parts.values), dict(parts.missing))


def _start_local(parts: _Parts, wanted: Wanted) -> None:
    environ, root = wanted.environ, wanted.root
    parts.start("system", lambda: system_report(environ, root))
    parts.start("machine", lambda: read_machine(root))
    parts.start("toolkit", lambda: tools.toolkit(environ))
    parts.start("compiler", lambda: tools.tool("g++", environ))
    parts.start("nvidia_smi", lambda: ask_smi(environ))
    parts.start("library_path", lambda: library_path(environ))
    parts.start("kernel_log", lambda: read_kernel_log(root / "dev/kmsg", root == _ROOT))


def _look(look: Callable[[], Snapshot], parts: _Parts) -> Snapshot | NvmlFailure | GpuDoctorError:
    try:
        snapshot = look()
    except NvmlUnavailableError as error:
        return NvmlFailure(error.message, error.cause, error.hint, error.code)
    except GpuDoctorError as error:
        return error
    parts.start("orphans", lambda: _orphans(snapshot))
    return snapshot


def _orphans(snapshot: Snapshot) -> tuple[Orphan, ...]:
    """What is left over, as far as one look can tell; doubtful processes would have to be watched."""
    host = local_look if snapshot.source == "nvml" else played_look
    return judge(Look(snapshot, host(snapshot)))


def _probe(target: Target, limit_s: float) -> tuple[Probe, Distributions]:
    answer = probe.run(target, limit_s)
    folders = answer.python.search_path if answer.python else ()
    return answer, read_distributions(folders)


def ask_smi(environ: Mapping[str, str], limit_s: float = _SMI_LIMIT_S) -> Tool:
    """How `nvidia-smi -L` ends. It names the GPUs and changes nothing; its words are not used."""
    path = tools.located("nvidia-smi", environ)
    if path is None:
        return Tool("nvidia-smi")
    answer = tools.answer_of([path, "-L"], limit_s, environ)
    last = answer.text.strip().splitlines()[-1:] if answer.error else []
    error = ": ".join([answer.error, *last]) if answer.error else None
    return Tool("nvidia-smi", path, None, error)


def _context(wanted: Wanted, values: dict[str, Any], missing: dict[str, str]) -> CheckContext:
    looked = values.get("snapshot")
    if isinstance(looked, GpuDoctorError):
        raise looked
    answer, installed = values.get("probe", (None, None))
    failure = looked if isinstance(looked, NvmlFailure) else None
    if looked is None:
        failure = _unanswered(missing.get("snapshot"))
    if failure is not None:
        missing["snapshot"] = failure.message
    return CheckContext(
        snapshot=looked if isinstance(looked, Snapshot) else None,
        nvml_failure=failure,
        probe=answer,
        system=values.get("system"),
        machine=values.get("machine"),
        toolkit=values.get("toolkit"),
        compiler=values.get("compiler"),
        nvidia_smi=values.get("nvidia_smi"),
        library_path=values.get("library_path"),
        distributions=installed,
        orphans=values.get("orphans"),
        kernel_log=values.get("kernel_log"),
        script=wanted.script,
        environ=wanted.environ,
        missing=missing,
    )


def _unanswered(reason: str | None) -> NvmlFailure:
    if reason == _LATE:
        return NvmlFailure("the NVIDIA driver does not answer", "a call into it did not return")
    return NvmlFailure("the NVIDIA driver could not be asked", reason)
