"""The terminal report of `gpudoctor profile`: the verdict first, the tables after it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.model.finding import Severity
from gpudoctor.model.profile import GpuUse, Profile, ProfileFinding, Window
from gpudoctor.render.loader_workers import TITLES, cells, in_words
from gpudoctor.render.memory_history import memory_tables
from gpudoctor.render.modules import module_table
from gpudoctor.render.operator_shapes import kernel_table, shape_table
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import count, data_size, duration, hertz, percent, printable, text, watts

_STYLE = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}
_STEPS = {
    "optimizer": "optimizer steps",
    "batch": "batches",
    "forward": "calls of a module watched",
}
_TOP = 10
_MOST_FINDINGS = 3
_MOST_LOADERS = 3
_ENDS = {
    "finished": "finished",
    "exit": "ended by sys.exit",
    "exception": "ended by an exception",
    "interrupted": "interrupted",
    "terminated": "ended by SIGTERM",
    "not started": "did not start",
    "running": "was gone without a word",
    "watched": "watched from outside",
}
# How a run is ended by others, so that what was not seen may only have been still to come.
_CUT_OFF = {
    "interrupted": "was interrupted",
    "terminated": "was ended by SIGTERM",
    "running": "was gone without a word",
}


def report(profile: Profile, folder: Path | None = None) -> Iterator[RenderableType]:
    """The verdict in at most ten lines, then where the time went."""
    yield Text()
    yield from verdict(profile)
    yield Text()
    yield from _overview(profile)
    yield from _phases(profile)
    yield from _operators(profile)
    yield from shape_table(profile)
    yield from kernel_table(profile)
    yield from module_table(profile)
    yield from memory_tables(profile)
    yield from _lines(profile)
    yield from _workers(profile)
    yield from _threads(profile)
    for note in profile.notes:
        yield safe(f"Note: {note}", "dim")
    if folder is not None:
        trace = ", and trace.json in ui.perfetto.dev" if (folder / "trace.json").exists() else ""
        yield safe(f"Kept in {folder}: see report.html{trace}.", "dim")


def verdict(profile: Profile) -> Iterator[Text]:
    """What ended the script, if that was an error, and what held it back, most costly first."""
    failure = failed(profile)
    if failure is not None:
        yield safe(failure, "red")
        if profile.findings:
            yield Text()
    elif not profile.findings:
        yield Text(_healthy(profile), style="yellow" if _gave_up(profile) else "green")
    most = _MOST_FINDINGS if failure is None else _MOST_FINDINGS - 1
    for number, finding in enumerate(profile.findings[:most], 1):
        yield from _finding(number, finding, profile.run.cwd)
    more = len(profile.findings) - most
    if more > 0:
        yield Text(f"… and {more} more: see --json or the HTML report.", style="dim")


def failed(profile: Profile) -> str | None:
    """The exception that ended the script, and where; None where none did."""
    run = profile.run
    if run.how not in ("exception", "not started"):
        return None
    where = f" at {short(run.exception_line, run.cwd)}" if run.exception_line else ""
    return f"The script {_ENDS[run.how]}{where}: {text(run.exception)}"[:300]


def _saw_no_step(profile: Profile) -> bool:
    return profile.window is None and profile.steps is None and profile.run.how != "watched"


def _gave_up(profile: Profile) -> bool:
    cut_off = profile.run.how in _CUT_OFF or bool(profile.run.exit_code)
    return cut_off and _saw_no_step(profile)


def _healthy(profile: Profile) -> str:
    if _saw_no_step(profile):
        if profile.run.how in _CUT_OFF:
            how = _CUT_OFF[profile.run.how]
            return f"The script {how} before any training or inference step was seen."
        if profile.run.exit_code:
            return (
                f"The script ended with exit code {profile.run.exit_code}, and no training or inference step "
                "was seen."
            )
        return "Nothing to complain about, but no training or inference step was seen either."
    return "Nothing to complain about."


def _finding(number: int, finding: ProfileFinding, cwd: str) -> Iterator[Text]:
    line = Text(f"{number}. ", style="bold") + safe(
        finding.summary, f"bold {_STYLE[finding.severity]}"
    )
    if finding.gain_seconds:
        line.append(f"  up to {duration(finding.gain_seconds)} to gain", style="green")
    yield line
    if finding.source_line or finding.evidence:
        where = f"{short(finding.source_line, cwd)}: " if finding.source_line else ""
        yield Text("   ") + safe(where, "bold") + safe("; ".join(finding.evidence))
    if finding.fix is not None:
        yield Text("   → ", style="green") + safe(finding.fix.text)


def ended(how: str) -> str:
    """How a run ended, in words."""
    return _ENDS.get(how, how)


def short(source_line: str | None, cwd: str) -> str:
    """A place in the code, relative to the run's folder where it lies below it."""
    if source_line is None:
        return text(None)
    return source_line[len(cwd) + 1 :] if source_line.startswith(cwd + os.sep) else source_line


def facts(profile: Profile) -> tuple[tuple[str, str], ...]:
    """What was run, on what, and what it came to: names and values."""
    run, torch, steps = profile.run, profile.torch, profile.steps
    end = _ENDS.get(run.how, run.how)
    watched = run.how == "watched"
    left = "" if watched else f", exit code {text(run.exit_code)}"
    rows = [
        ("Program", printable(shlex.join(run.program))),
        ("Run", printable(f"{duration(run.wall_seconds)}, {end}{left}")),
        ("With", printable(_versions(profile))),
    ]
    for device in torch.devices if torch else ():
        peak = (
            f"peak {data_size(device.memory_peak_bytes)} of {data_size(device.memory_total_bytes)}"
        )
        rows.append((f"cuda:{device.index}", printable(f"{device.name}, {peak}")))
    rows.extend((f"GPU {gpu.index}", printable(gpu_line(gpu))) for gpu in profile.gpus)
    if steps is not None:
        what = _STEPS[steps.boundary]
        spread = f"median {duration(steps.median_seconds)}, 95th percentile {duration(steps.p95_seconds)}"
        span = duration(steps.span_seconds)
        if steps.boundary == "forward":
            # They are counted for a while only; the span is that of the loop.
            rows.append(
                ("Steps", f"{count(steps.count)} {what}, {spread}; the loop went on for {span}")
            )
        else:
            rows.append(("Steps", f"{count(steps.count)} {what} in {span}, {spread}"))
    if profile.memory:
        most = max(point.resident_bytes for point in profile.memory)
        rows.append(("Host memory", f"at most {data_size(most)} resident"))
    if not watched and run.held_up_seconds > 0:
        rows.append(("Profiler", f"held the script up for {duration(run.held_up_seconds)}"))
    return tuple(rows)


def _versions(profile: Profile) -> str:
    torch = profile.torch
    python = f"Python {profile.run.python_version}"
    if torch is None or torch.version is None:
        return python
    if profile.run.how == "watched":
        return f"{python}, torch {torch.version}"
    cuda = f"CUDA {torch.cuda_version}" if torch.cuda_version else "CPU build"
    return f"{python}, torch {torch.version}, {cuda}, imported in {duration(torch.import_seconds)}"


def gpu_line(gpu: GpuUse) -> str:
    """What a GPU did while the script ran, in one line."""
    parts = [
        f"{gpu.name}, busy {percent(gpu.utilization_mean_ratio)}",
        f"idle in {percent(gpu.idle_ratio)} of {gpu.looks} looks",
        f"at most {data_size(gpu.memory_peak_bytes)} of {data_size(gpu.memory_total_bytes)} used",
        f"{watts(gpu.power_mean_watts)}, SM {hertz(gpu.sm_clock_mean_hertz)}",
    ]
    if gpu.sm_active_mean_ratio is not None:
        parts.append(f"SMs active {percent(gpu.sm_active_mean_ratio)}")
    if gpu.throttled_ratio:
        parts.append(f"slowed {percent(gpu.throttled_ratio)} of the time")
    return ", ".join(parts)


def _overview(profile: Profile) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    for name, value in facts(profile):
        grid.add_row(name, Text(value))
    yield grid


def _phases(profile: Profile) -> Iterator[RenderableType]:
    window = profile.window
    if window is None or not window.seconds:
        return
    looked = (
        f"mean of {window.steps} in {duration(window.seconds)}"
        if profile.run.how == "watched"
        else f"mean of {window.steps} after step {window.first_step}{_without(window)}"
    )
    yield title(f"One step, by torch's profiler ({looked})")
    grid = table(("PHASE", "TIME", "SHARE"))
    for phase in [one for one in window.phases if one.seconds > 0]:
        share = phase.seconds / window.seconds
        grid.add_row(phase.name, duration(phase.seconds / window.steps), percent(share))
    yield grid
    if window.device is not None:
        busy = percent(window.device.busy_seconds / window.seconds)
        yield Text(f"GPU busy {busy} of the window, {count(window.device.kernels)} kernels.")


def _without(window: Window) -> str:
    plain = window.plain_step_seconds
    return "" if plain is None else f"; {duration(plain)} without it"


def _operators(profile: Profile) -> Iterator[RenderableType]:
    window = profile.window
    if window is None or not window.operators:
        return
    on_device = window.device is not None
    yield title(f"Operators, by their own time in {_profiled(window)}")
    grid = table(("OPERATOR", "CALLS", "CPU") + (("GPU",) if on_device else ()))
    for one in window.operators[:_TOP]:
        device = (duration(one.self_device_seconds),) if on_device else ()
        grid.add_row(safe(one.name), count(one.calls), duration(one.self_cpu_seconds), *device)
    yield grid


def _profiled(window: Window) -> str:
    return "the profiled step" if window.steps == 1 else f"the {count(window.steps)} profiled steps"


def _lines(profile: Profile) -> Iterator[RenderableType]:
    lines = [line for line in profile.lines if line.phase != "import"][:_TOP]
    if not lines:
        return
    yield title("Lines of your code, by samples of the main thread (libraries below them included)")
    grid = table(("LINE", "TIME", "OWN", "PHASE"))
    grid.columns[3].justify = "left"
    # The only column that may shrink; its text is cut and not wrapped.
    grid.add_column("CODE", overflow="ellipsis")
    for line in lines:
        grid.add_row(
            safe(short(line.source_line, profile.run.cwd)),
            duration(line.total_seconds),
            duration(line.self_seconds),
            line.phase,
            _cut(line.text),
        )
    yield grid


def _cut(raw: str) -> Text:
    code = safe(raw)
    code.no_wrap, code.overflow = True, "ellipsis"
    return code


def _workers(profile: Profile) -> Iterator[RenderableType]:
    loaders = [loader for loader in profile.loaders if loader.workers]
    for loader in loaders[:_MOST_LOADERS]:
        where = short(loader.source_line, profile.run.cwd)
        yield title(f"Workers of the DataLoader at {printable(where)}: {in_words(loader.workers)}")
        grid = table(TITLES)
        grid.add_column("SLOWEST LINE", overflow="ellipsis", no_wrap=True)
        for one in loader.workers[:_TOP]:
            line = short(one.line.source_line if one.line else None, profile.run.cwd)
            grid.add_row(*cells(one), safe(line))
        yield grid


def _threads(profile: Profile) -> Iterator[RenderableType]:
    # Of a worker only what it does itself; the queues' own threads always wait and say nothing.
    threads = [thread for thread in profile.threads if thread.main][:_TOP]
    if not threads:
        return
    yield title("Worker processes, and where they mostly were")
    grid = table(("PID", "SHARE"))
    for heading in ("FUNCTION", "LINE"):
        grid.add_column(heading, no_wrap=True, overflow="ellipsis")
    for one in threads:
        grid.add_row(
            str(one.pid),
            percent(one.share),
            safe(one.function),
            safe(short(one.source_line, profile.run.cwd)),
        )
    yield grid
