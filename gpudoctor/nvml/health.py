"""ECC, row remapping, retired pages, the driver's recommended recovery, and the modes of a GPU."""

from __future__ import annotations

import ctypes

import pynvml

from gpudoctor.model.readings import HealthReading
from gpudoctor.nvml import fields
from gpudoctor.nvml.calls import Group

_COMPUTE_MODES = {
    0: "default",
    1: "exclusive thread",
    2: "prohibited",
    3: "exclusive process",
}
_FABRIC_STATES = {1: "not started", 2: "in progress", 3: "completed"}
_FABRIC_NONE = 0


def read(handle: object) -> HealthReading:
    """The health of the GPU behind `handle`.

    Raises:
        NvmlCallError: no call answered.
    """
    group = Group()
    ecc = group.get(pynvml.nvmlDeviceGetEccMode, handle)
    rows = group.get(pynvml.nvmlDeviceGetRemappedRows, handle)
    actions = group.get(fields.values_of, handle, (fields.RECOVERY_ACTION,)) or {}
    persistence = group.get(pynvml.nvmlDeviceGetPersistenceMode, handle)
    mode = group.get(pynvml.nvmlDeviceGetComputeMode, handle)
    display = group.get(pynvml.nvmlDeviceGetDisplayActive, handle)
    pending = group.get(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle)
    enabled = None if ecc is None else bool(ecc[0])
    counts = _ecc_counts(group, handle) if enabled else (None, None, None, None)
    reading = HealthReading(
        enabled,
        *counts,
        remapped_corrected_rows=None if rows is None else rows[0],
        remapped_uncorrected_rows=None if rows is None else rows[1],
        remap_pending=None if rows is None else bool(rows[2]),
        remap_failed=None if rows is None else bool(rows[3]),
        retired_pages=_retired(group, handle),
        retired_pages_pending=None if pending is None else bool(pending),
        recovery_action=_action(actions.get(fields.RECOVERY_ACTION)),
        persistence_mode=None if persistence is None else bool(persistence),
        compute_mode=None if mode is None else _COMPUTE_MODES.get(mode, str(mode)),
        fabric_state=_fabric(group, handle),
        display_active=None if display is None else bool(display),
    )
    group.close()
    return reading


def _ecc_counts(
    group: Group, handle: object
) -> tuple[int | None, int | None, int | None, int | None]:
    corrected = pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED
    uncorrected = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    volatile, aggregate = pynvml.NVML_VOLATILE_ECC, pynvml.NVML_AGGREGATE_ECC
    ask = pynvml.nvmlDeviceGetTotalEccErrors
    return (
        group.get(ask, handle, corrected, volatile),
        group.get(ask, handle, uncorrected, volatile),
        group.get(ask, handle, corrected, aggregate),
        group.get(ask, handle, uncorrected, aggregate),
    )


def _retired(group: Group, handle: object) -> int | None:
    """Pages retired for either cause; a GPU that remaps rows instead has none to tell."""
    causes = (
        pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    lists = [group.get(pynvml.nvmlDeviceGetRetiredPages, handle, cause) for cause in causes]
    known = [pages for pages in lists if pages is not None]
    return sum(len(pages) for pages in known) if known else None


def _action(value: float | None) -> str | None:
    if value is None:
        return None
    return fields.RECOVERY_ACTIONS.get(int(value), f"action {int(value)}")


def _fabric(group: Group, handle: object) -> str | None:
    struct = getattr(pynvml, "c_nvmlGpuFabricInfo_v2_t", None)
    if struct is None:  # nvidia-ml-py before 12.550
        return None
    info = struct()
    # The binding fills the struct that it is given and returns nothing.
    group.get(pynvml.nvmlDeviceGetGpuFabricInfoV, handle, ctypes.byref(info))
    return None if info.state == _FABRIC_NONE else _FABRIC_STATES.get(info.state)
