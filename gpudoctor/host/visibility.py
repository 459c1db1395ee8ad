"""Puts the rules beside the witnesses: the driver asked in a child, and the GPUs a process really uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpudoctor.host.containers import container
from gpudoctor.host.visible_devices import VARIABLE, device
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.probe import CudaDevice, Probe
from gpudoctor.model.process import DeviceProcess
from gpudoctor.model.visible import Visibility, VisibleDevice

_SHOWN = (
    VARIABLE,
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_MPS_PIPE_DIRECTORY",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
)


def with_notes(answer: Visibility, environ: Mapping[str, str]) -> Visibility:
    """The answer with the traps that this environment sets, and the variables that matter."""
    notes = [*answer.notes, *_traps(answer, environ)]
    shown = {name: environ[name] for name in _SHOWN if name in environ}
    return replace(answer, notes=tuple(notes), variables=shown)


def _traps(answer: Visibility, environ: Mapping[str, str]) -> list[str]:
    notes = []
    if answer.value is not None:
        notes.append(
            "The variable is read once, when CUDA starts: what a process sets after that is ignored."
        )
    for row in answer.visible:
        if row.ordinal is not None and row.nvml_index not in (None, row.ordinal):
            notes.append(
                f"cuda:{row.ordinal} is GPU {row.nvml_index} of nvidia-smi: the numbers differ."
            )
            break
    if environ.get("CUDA_MPS_PIPE_DIRECTORY"):
        notes.append(
            "CUDA_MPS_PIPE_DIRECTORY is set: under MPS the server numbers its GPUs anew from 0 "
            "(unverified here). UUIDs mean the same GPU to the server and to its clients."
        )
    if "SLURM_JOB_GPUS" in environ or "SLURM_STEP_GPUS" in environ:
        notes.append(
            "SLURM_JOB_GPUS counts all GPUs of the node; where the job is confined to its devices, "
            "CUDA_VISIBLE_DEVICES counts from 0 within them."
        )
    if environ.get("NVIDIA_VISIBLE_DEVICES") and container(environ).kind:
        notes.append(
            "NVIDIA_VISIBLE_DEVICES acted before this container began: CUDA does not read it, and "
            "indices count from 0 within the GPUs that were given."
        )
    return notes


def confirmed(answer: Visibility, probe: Probe, gpus: Sequence[GpuRow], by: str) -> Visibility:
    """What CUDA itself enumerated in a child; the rules' answer is kept where it differs.

    `by` is "driver" or "torch". An answer that did not come leaves the rules' with a note.
    """
    found = probe.cuda.devices if by == "torch" and probe.cuda else ()
    direct = probe.driver
    if by == "driver" or not found:
        by = "driver"
        if direct is None or direct.code is None:
            why = (direct and direct.error) or probe.error or "no answer"
            return _noted(answer, f"Not confirmed by the driver: {why}")
        if direct.code not in (0, 100):  # 100 is CUDA_ERROR_NO_DEVICE: that none is visible
            why = f"cuInit fails with {direct.name or direct.code}"
            return _noted(answer, f"Not confirmed by the driver: {why}")
        found = direct.devices
    seen = tuple(_seen(row, gpus) for row in found)
    # What the rules had to say of their own certainty does not matter any more.
    answer = replace(answer, notes=())
    if [row.uuid for row in seen] == [row.uuid for row in answer.visible]:
        return replace(answer, visible=seen, source=by, standing=None)
    note = "CUDA enumerates other GPUs than its documented rules give; CUDA's answer is shown."
    changed = replace(answer, visible=seen, source=by, standing=None, expected=answer.visible)
    return _noted(changed, note)


def _seen(row: CudaDevice, gpus: Sequence[GpuRow]) -> VisibleDevice:
    for gpu in gpus:
        if gpu.facts.uuid == row.uuid:
            return device(gpu, None, row.ordinal)
        for part in gpu.mig.instances:
            # torch names an instance's UUID without saying that it is one.
            if row.uuid and part.uuid.removeprefix("MIG-") == row.uuid[4:]:
                return device(gpu, part, row.ordinal)
    return VisibleDevice(row.ordinal, None, row.uuid or "", row.pci_bus_id, row.name)


def _noted(answer: Visibility, note: str) -> Visibility:
    return replace(answer, notes=(*answer.notes, note))


def reconciled(
    answer: Visibility, pid: int, used: Sequence[tuple[GpuRow, DeviceProcess]]
) -> Visibility:
    """The answer for a running process beside the GPUs on which NVML sees it."""
    note = (
        f"The variables are those with which process {pid} was started: what it changed since "
        "cannot be seen from outside."
    )
    answer = _noted(answer, note)
    real = [_used(gpu, process) for gpu, process in used]
    if not real:
        return _noted(answer, f"NVML sees process {pid} on no GPU, so nothing confirms the answer.")
    known = {row.uuid for row in answer.visible}
    strange = [row for row in real if row.uuid not in known]
    if not strange:
        held = ", ".join(str(row.nvml_index) for row in real)
        return _noted(answer, f"NVML sees process {pid} on GPU {held}, which agrees.")
    # One GPU in use is cuda:0 of whatever list; of several, the order cannot be known.
    visible = tuple(replace(row, ordinal=0 if len(real) == 1 else None) for row in real)
    changed = replace(
        answer, visible=visible, source="nvml", standing=None, expected=answer.visible
    )
    held = ", ".join(str(row.nvml_index) for row in real)
    return _noted(
        changed,
        f"NVML sees process {pid} on GPU {held}, which its variables do not give: it has changed them "
        "before CUDA started, or runs in a container. NVML's answer is shown.",
    )


def _used(gpu: GpuRow, process: DeviceProcess) -> VisibleDevice:
    for part in gpu.mig.instances:
        if (part.gpu_instance, part.compute_instance) == (
            process.gpu_instance,
            process.compute_instance,
        ):
            return device(gpu, part, None)
    return device(gpu, None, None)
