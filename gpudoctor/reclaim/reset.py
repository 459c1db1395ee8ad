"""Resets GPUs with nvidia-smi, the only program that can, and looks whether they are well afterwards."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.holders import PROC, gpu_files, minors
from gpudoctor.model.condition import refused
from gpudoctor.model.reset import ResetOutcome, ResetReport, ResetTarget
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.reclaim.reset_conditions import Scene, reset_conditions

PERSISTENCE_LIMIT_S = 30.0
_KILLED_WAIT_S = 1.0
_CHARS = 4_000
# What nvidia-smi says, and what it means.
_TEXTS = (
    ("In use by another client", "a client still has it open"),
    ("is currently being used by", "a client still has it open"),
    ("not supported", "this GPU or driver does not support a reset"),
    ("Insufficient Permissions", "it was not permitted"),
)


@dataclass(frozen=True, slots=True)
class _Ran:
    """How a command ended; `code` None: not within its limit."""

    code: int | None
    output: str


def commands(scene: Scene) -> tuple[tuple[str, ...], ...]:
    """What is run, in order: persistence mode off where it is on, the reset, and on again."""
    smi = scene.nvidia_smi or "nvidia-smi"
    held = [name_of(device) for device in scene.targets if device.health.persistence_mode]
    every = ",".join(name_of(device) for device in scene.targets)
    reset = (smi, "--gpu-reset", "-i", every)
    if not held:
        return (reset,)
    return (
        (smi, "-i", ",".join(held), "-pm", "0"),
        reset,
        (smi, "-i", ",".join(held), "-pm", "1"),
    )


def name_of(device: Device) -> str:
    """The GPU's UUID; its index where it is off the bus and has not told its UUID."""
    return device.uuid if device.uuid.startswith("GPU-") else str(device.index)


def checked(scene: Scene) -> ResetReport:
    """What a reset would interrupt, and whether something stands in its way. Runs nothing."""
    conditions = reset_conditions(scene)
    return ResetReport(
        targets=tuple(_target(device) for device in scene.targets),
        conditions=conditions,
        interrupts=scene.interrupts,
        commands=tuple(shlex.join(command) for command in commands(scene)),
        outcome=ResetOutcome.REFUSED if refused(conditions) else ResetOutcome.CHECKED,
    )


def _target(device: Device) -> ResetTarget:
    facts = device.facts
    return ResetTarget(device.index, device.uuid, facts.name, facts.pci_bus_id)


def reset(scene: Scene, see: Callable[[], Snapshot], *, limit_s: float) -> ResetReport:
    """Resets the GPUs, unless a condition stands in the way. `see` looks at the driver afterwards.

    Our own handle on the driver must be closed before: it counts as a client.
    """
    report = checked(scene)
    if report.outcome is ResetOutcome.REFUSED:
        return report
    if minors(gpu_files(PROC, os.getpid()) or ()):
        held = "gpudoctor itself still has a GPU open, because the driver did not let go of it"
        return msgspec.structs.replace(report, outcome=ResetOutcome.NOT_RESET, detail=held)
    begun = time.monotonic()
    ran = _run_all(commands(scene), limit_s)
    outcome, detail, hint = _judged(ran, scene, see, limit_s)
    return msgspec.structs.replace(
        report,
        outcome=outcome,
        detail=detail,
        hint=hint,
        output=ran.output[-_CHARS:].strip() or None,
        seconds=time.monotonic() - begun,
    )


def _run_all(lines: Sequence[Sequence[str]], limit_s: float) -> _Ran:
    """The reset's own end. Persistence mode is put back however the reset went."""
    if len(lines) == 1:
        return _run(lines[0], limit_s)
    off, main, on = lines
    before = _run(off, PERSISTENCE_LIMIT_S)
    if before.code != 0:
        return before
    ran = _run(main, limit_s)
    after = _run(on, PERSISTENCE_LIMIT_S)
    if after.code != 0:
        said = f"{ran.output}\npersistence mode could not be switched on again: {after.output}"
        return _Ran(ran.code, said)
    return ran


def _run(command: Sequence[str], limit_s: float) -> _Ran:
    # A file in memory, not a pipe: a program that hangs in the driver keeps its end open for ever.
    out = os.memfd_create("nvidia-smi")
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Ctrl-C must not end it in the middle of a reset.
            start_new_session=True,
        )
        try:
            code: int | None = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_KILLED_WAIT_S)
        text = os.pread(out, os.fstat(out).st_size, 0).decode("utf-8", "replace")
    except OSError as error:
        return _Ran(127, str(error))
    finally:
        os.close(out)
    return _Ran(code, text)


def _judged(
    ran: _Ran, scene: Scene, see: Callable[[], Snapshot], limit_s: float
) -> tuple[ResetOutcome, str | None, str | None]:
    if ran.code is None:
        hint = "See `dmesg` for Xid or NVRM lines; where the driver hangs, only a reboot helps."
        return ResetOutcome.HUNG, f"nvidia-smi did not end within {limit_s:.0f} s", hint
    if ran.code != 0:
        why = next((why for text, why in _TEXTS if text in ran.output), None)
        detail = f"nvidia-smi ended with code {ran.code}" + (f": {why}" if why else "")
        return ResetOutcome.NOT_RESET, detail, None
    problems = _problems(scene, see)
    if problems:
        hint = "Look into `dmesg` for Xid lines; the next step is a reboot of the machine."
        return ResetOutcome.SICK, "; ".join(problems), hint
    return ResetOutcome.RESET, None, None


def _problems(scene: Scene, see: Callable[[], Snapshot]) -> list[str]:
    """What is wrong with the GPUs now; all that the driver itself tells."""
    try:
        snapshot = see()
    except GpuDoctorError as error:
        return [f"the driver cannot be asked afterwards: {error.message}"]
    found = []
    for before in scene.targets:
        now = snapshot.device(before.uuid) or _nameless(before, snapshot)
        if now is None:
            found.append(f"GPU {before.index} is no longer there")
        elif now.state is not DeviceState.OK:
            why = now.error or "it does not answer"
            found.append(f"GPU {before.index} is {now.state}: {why}")
        elif now.health.recovery_action not in (None, "none"):
            found.append(f"the driver still recommends: {now.health.recovery_action}")
    return found


def _nameless(before: Device, snapshot: Snapshot) -> Device | None:
    """The GPU in the same place, where one of the two has not told its UUID."""
    here = next((one for one in snapshot.devices if one.index == before.index), None)
    if here is None or (name_of(before) == before.uuid and name_of(here) == here.uuid):
        return None
    return here
