"""Examines the machine as `env` and `check` do, for the screen that shows both. No painting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.gather import Wanted, gather
from gpudoctor.checks.order import ordered
from gpudoctor.checks.registry import registered
from gpudoctor.checks.runner import run_checks
from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.driver import module_report
from gpudoctor.host.interpreter import Target, find
from gpudoctor.host.variables import relevant
from gpudoctor.model.check import CheckReport, Inspected
from gpudoctor.model.environment import DriverReport, EnvironmentReport, GpuRow
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present import paste
from gpudoctor.present.checked import with_told
from gpudoctor.present.mask import Identity, mask


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. Without `environment` this machine and its Python were not looked at."""

    report: CheckReport
    environment: EnvironmentReport | None


def examine(snapshot: Snapshot, say: Callable[[str], None]) -> Examined:
    """Looks at the machine of `snapshot`; `say` hears what is being done. Takes seconds."""
    begun = time.monotonic()
    # A recording is of another machine, so nothing of this one can explain it.
    local = snapshot.source != "replay"
    target = _target() if local else None
    asked = f" and asking {target.executable}" if target else ""
    say(f"looking at the machine{asked}")
    environ = dict(os.environ) if local else {}
    facts = gather(Wanted(lambda: snapshot, target, environ, local=local))
    say("running the checks")
    found = conclude(facts, snapshot)
    report = replace(found.report, duration_seconds=time.monotonic() - begun)
    return replace(found, report=report)


def conclude(facts: CheckContext, snapshot: Snapshot) -> Examined:
    """What all checks say of these facts, and the facts as a report."""
    return Examined(run_checks(registered(), facts), _environment(facts, snapshot))


def told_too(examined: Examined, told: Inspected | None) -> Examined:
    """The same, with what only a daemon found."""
    found = with_told(examined.report.findings, told)
    found = ordered(found, {check.id: check for check in registered()})
    return replace(examined, report=replace(examined.report, findings=found))


def _target() -> Target | None:
    try:
        return find()
    except GpuDoctorError:
        return None


def _environment(facts: CheckContext, snapshot: Snapshot) -> EnvironmentReport | None:
    probe, system, toolkit = facts.probe, facts.system, facts.toolkit
    if probe is None or system is None or toolkit is None or facts.nvidia_smi is None:
        return None
    return EnvironmentReport(
        probe=probe,
        driver=_driver(snapshot),
        system=system,
        toolkit=toolkit,
        nvidia_smi=facts.nvidia_smi,
        tools=(facts.compiler,) if facts.compiler else (),
        variables=relevant(facts.environ),
        library_path=facts.library_path or (),
    )


def _driver(snapshot: Snapshot) -> DriverReport:
    return replace(
        module_report(),
        nvml_driver_version=snapshot.driver.version,
        nvml_version=snapshot.driver.nvml_version,
        cuda_version=snapshot.driver.cuda_version,
        source=snapshot.source,
        gpus=tuple(GpuRow(device.facts, device.mig) for device in snapshot.devices),
    )


def save(examined: Examined, folder: Path, now: float) -> Path:
    """Writes the report as Markdown, without the user's name and the host's, to a new file in `folder`.

    Raises:
        GpuDoctorError: it cannot be written.
    """
    identity = Identity.here()
    parts = [mask(paste.findings(examined.report), identity)]
    if examined.environment is not None:
        parts.append(paste.environment(examined.environment, identity))
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    path = folder / f"gpudoctor-report-{stamp}.md"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(parts))
    except OSError as error:
        raise GpuDoctorError(f"{path} cannot be written", cause=error.strerror) from error
    return path
