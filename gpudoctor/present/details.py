"""What is known of a process beyond its row, as names and values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from gpudoctor import units
from gpudoctor.history.values import ProcessSpan
from gpudoctor.model.detail import ProcessDetail
from gpudoctor.model.lineage import Notebook
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.visible import Standing, Visibility
from gpudoctor.present.cells import Level
from gpudoctor.present.facts import Fact

_MOST_ABOVE = 8
# A launcher's command may be a whole script (`bash -c …`): it must not push what follows off the page.
_LONGEST_ABOVE = 120
# Two ways of reading a start time agree to within a tick of the kernel's clock.
_SAME_START_S = 1.0


def detail_facts(detail: ProcessDetail) -> Iterator[Fact]:
    """Where it comes from, its GPUs as CUDA numbers them, its variables."""
    yield Fact("Where it comes from", heading=True)
    yield Fact("program", _shown(detail.executable))
    yield Fact("working folder", _shown(detail.working_directory))
    for one in detail.origin.launchers:
        more = f" ({one.detail})" if one.detail else ""
        yield Fact(one.kind, units.printable(f"{one.name}{more}"))
    if detail.notebook is not None:
        yield from _notebook(detail.notebook)
    if detail.origin.pid_in_container is not None:
        yield Fact("pid in its container", str(detail.origin.pid_in_container))
    for number, above in enumerate(detail.above[:_MOST_ABOVE]):
        words = units.printable(" ".join(above.command) or f"[{above.name}]")
        yield Fact("" if number else "below", f"{above.pid} {_clipped(words)}")
    yield from _cuda(detail.cuda)
    yield Fact("Variables", heading=True)
    if detail.variables is None:
        yield Fact("environment", "may not be read: it is another user's", Level.DIM)
        return
    if not detail.variables:
        yield Fact("environment", "sets nothing that CUDA or torch reads", Level.DIM)
    for name, value in detail.variables.items():
        yield Fact(units.printable(name), units.printable(value) or '""')


def _clipped(words: str) -> str:
    return words if len(words) <= _LONGEST_ABOVE else f"{words[: _LONGEST_ABOVE - 1]}…"


def _shown(value: str | None) -> str:
    return units.printable(units.text(value))


def _notebook(found: Notebook) -> Iterator[Fact]:
    yield Fact("notebook", _shown(found.path))
    tabs = "no browser" if found.connections == 0 else units.text(found.connections)
    yield Fact("kernel", f"{units.printable(found.state)}, connections: {tabs}")
    if found.last_activity is not None:
        yield Fact("last used", _moment(found.last_activity))


def _cuda(cuda: Visibility | None) -> Iterator[Fact]:
    if cuda is None:
        return
    yield Fact("CUDA's numbers, by its variables (v: map)", heading=True)
    if not cuda.visible:
        yield Fact("devices", "none is visible to CUDA", Level.WARN)
    for device in cuda.visible:
        name = "cuda:?" if device.ordinal is None else f"cuda:{device.ordinal}"
        part = "" if device.gpu_instance is None else f", MIG {device.gpu_instance}"
        yield Fact(name, f"GPU {units.text(device.nvml_index)}{part}")
    if cuda.standing is Standing.UNVERIFIED:
        yield Fact("sure?", "no: one of the rules is not documented", Level.DIM)


def span_facts(process: GpuProcess, spans: Iterable[ProcessSpan]) -> Iterator[Fact]:
    """What a recorder remembers of this very process, one GPU after the other."""
    for number, span in enumerate(one for one in spans if _same(process, one)):
        if number == 0:
            yield Fact("Recorded by the daemon", heading=True)
        index = next((use.index for use in process.gpus if use.uuid == span.uuid), None)
        where = f"GPU {units.text(index)}" if index is not None else span.uuid
        peak = units.data_size(span.memory_peak_bytes)
        busy = units.percent(span.sm_mean_ratio)
        yield Fact(where, f"since {_moment(span.first_seen)}, at most {peak}, SM {busy} on average")


def _same(process: GpuProcess, span: ProcessSpan) -> bool:
    if process.pid != span.pid or process.started is None or span.started is None:
        return False
    return abs(process.started - span.started) <= _SAME_START_S


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
