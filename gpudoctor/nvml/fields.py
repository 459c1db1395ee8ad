"""Field values: many readings in one call, each with its own return code."""

from __future__ import annotations

from collections.abc import Sequence

import pynvml

from gpudoctor.nvml.calls import ask

MEMORY_TEMPERATURE = 82
NVLINK_COUNT = 91
NVLINK_TRANSMIT_KIB = 138
NVLINK_RECEIVE_KIB = 139
# NVLink 5 (Blackwell) counts bytes instead.
NVLINK_TRANSMIT_BYTES = 202
NVLINK_RECEIVE_BYTES = 204
NVLINK_CRC_ERRORS = 38
NVLINK_REPLAY_ERRORS = 52
NVLINK_RECOVERY_ERRORS = 59
RECOVERY_ACTION = 230

RECOVERY_ACTIONS = {
    0: "none",
    1: "reset the GPU",
    2: "reboot the node",
    3: "drain peer-to-peer traffic",
    4: "drain and reset",
    5: "recover the IMEX domain",
    6: "reset the bus",
    7: "reboot the system",
}
# nvmlValueType_t: which member of the union holds the value.
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

Field = int | tuple[int, int]


def values_of(handle: object, fields: Sequence[Field]) -> dict[Field, float | int]:
    """Those of `fields` (an id, or an id and a scope such as a link) that the GPU gives.

    Raises:
        NvmlCallError: the call failed as a whole.
    """
    answers = ask(pynvml.nvmlDeviceGetFieldValues, handle, list(fields))
    if answers is None:
        return {}
    found: dict[Field, float | int] = {}
    for field, answer in zip(fields, answers, strict=True):
        if answer.nvmlReturn == pynvml.NVML_SUCCESS and answer.valueType < len(_MEMBERS):
            found[field] = getattr(answer.value, _MEMBERS[answer.valueType])
    return found
