"""NVLink: the data and errors of all links of a GPU together, and each link."""

from __future__ import annotations

import pynvml

from gpudoctor.model.readings import NvLink, NvLinkReading
from gpudoctor.nvml import fields
from gpudoctor.nvml.calls import ask

_KIB = 1024
_ERRORS = (fields.NVLINK_REPLAY_ERRORS, fields.NVLINK_RECOVERY_ERRORS, fields.NVLINK_CRC_ERRORS)
_DATA = (
    (fields.NVLINK_TRANSMIT_KIB, fields.NVLINK_TRANSMIT_BYTES),
    (fields.NVLINK_RECEIVE_KIB, fields.NVLINK_RECEIVE_BYTES),
)


def read(handle: object) -> NvLinkReading:
    """The links of the GPU behind `handle`; an empty reading where it has none.

    Raises:
        NvmlCallError: the driver failed.
    """
    count = fields.values_of(handle, (fields.NVLINK_COUNT,)).get(fields.NVLINK_COUNT)
    if not count:
        return NvLinkReading()
    numbers = range(int(count))
    states = [ask(pynvml.nvmlDeviceGetNvLinkState, handle, link) for link in numbers]
    wanted: list[fields.Field] = [(way[0], link) for way in _DATA for link in numbers]
    values = fields.values_of(handle, (*wanted, *_ERRORS))
    sent, received = (_moved(handle, values, way, numbers) for way in _DATA)
    known = [state for state in states if state is not None]
    replay, recovery, crc = (_whole(values.get(field)) for field in _ERRORS)
    return NvLinkReading(
        links_active=sum(bool(state) for state in known) if known else None,
        links_total=len(numbers),
        transmit_bytes=_total(sent),
        receive_bytes=_total(received),
        replay_errors=replay,
        recovery_errors=recovery,
        crc_errors=crc,
        links=tuple(
            NvLink(
                link,
                None if states[link] is None else bool(states[link]),
                sent[link],
                received[link],
            )
            for link in numbers
        ),
    )


def _moved(
    handle: object, values: dict[fields.Field, float | int], way: tuple[int, int], numbers: range
) -> list[int | None]:
    """Bytes over each link, one way: in KiB up to NVLink 4, in bytes since."""
    in_kib, in_bytes = way
    found = [_whole(values.get((in_kib, link))) for link in numbers]
    if any(value is not None for value in found):
        return [None if value is None else value * _KIB for value in found]
    newer = fields.values_of(handle, [(in_bytes, link) for link in numbers])
    return [_whole(newer.get((in_bytes, link))) for link in numbers]


def _total(each: list[int | None]) -> int | None:
    known = [value for value in each if value is not None]
    return sum(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
