"""What `gpudoctor empty-cache` says."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from gpudoctor.model.injection import CacheOnDevice, CacheReport
from gpudoctor.render.text import safe
from gpudoctor.units import data_size, duration


def report_lines(report: CacheReport) -> Iterator[Text]:
    """What the process held before and after, and what the driver saw come back."""
    if report.status == "emptied":
        released = data_size(report.released_bytes)
        yield Text(f"Process {report.pid} gave back {released}.", style="green")
    else:
        yield safe(f"Process {report.pid}: {report.status}: {report.detail}", style="yellow")
    for device in report.devices:
        yield _device(device)
    if report.driver_freed_bytes is not None:
        yield Text(f"  The driver saw {data_size(report.driver_freed_bytes)} come back.")
    if report.way == "agent":
        yield Text(f"  Its agent did it in {duration(report.seconds)}.")
    else:
        stopped = duration(report.stopped_seconds)
        yield Text(f"  One thread stood still for {stopped}; all took {duration(report.seconds)}.")


def _device(one: CacheOnDevice) -> Text:
    before, after = data_size(one.reserved_before_bytes), data_size(one.reserved_after_bytes)
    live = data_size(one.allocated_after_bytes)
    return Text(f"  cuda:{one.device}  reserved {before} -> {after}, {live} of it live tensors")
