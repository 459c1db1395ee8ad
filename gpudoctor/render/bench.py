"""The report of `gpudoctor bench` as text: the verdict first, then bars, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.model.bench import (
    BenchKind,
    BenchReport,
    BenchResult,
    Equality,
    Machine,
    Ratio,
    Status,
)
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, data_size, duration, text

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_RATIOS = "×: against the unchanged run of the same round, with the interval that the rounds allow"


def report(values: BenchReport, *, width: int) -> Iterator[RenderableType]:
    """The whole report for a screen of that width."""
    for verdict in values.verdicts:
        yield safe(verdict, "bold")
    for note in values.notes:
        yield safe(note, "yellow")
    yield Text(machine_line(values.machine), style="dim")
    for subject in dict.fromkeys(result.subject for result in values.results):
        results = [result for result in values.results if result.subject == subject]
        yield from _subject(values.kind, subject, results, width)


def machine_line(machine: Machine | None) -> str:
    """Where it was measured, in one line."""
    if machine is None:
        return "Nothing could be found out about where it ran."
    named = (
        ("torch", machine.torch),
        ("CUDA", machine.cuda),
        ("cuDNN", machine.cudnn),
        ("driver", machine.driver),
    )
    parts = [f"on {machine.device_name or machine.device}"]
    parts += [f"{name} {value}" for name, value in named if value]
    parts += [f"Python {text(machine.python)}"]
    if machine.threads is not None and machine.device == "cpu":
        parts.append(f"{machine.threads} {'thread' if machine.threads == 1 else 'threads'}")
    return ", ".join(parts)


def _subject(
    kind: BenchKind, subject: str, results: Sequence[BenchResult], width: int
) -> Iterator[RenderableType]:
    yield Text()
    yield safe(f"{subject}: steps per second, mean of the rounds (higher is better)", "bold")
    yield _bars(results)
    if any(result.speedup is not None for result in results):
        yield Text(_RATIOS, style="dim")
    yield _numbers(kind, results, width)
    yield from _details(results)


def _bars(results: Sequence[BenchResult]) -> Table:
    grid = Table.grid(padding=(0, 1))
    most = max((result.steps_per_second or 0.0 for result in results), default=0.0)
    for result in results:
        name = safe(result.setting)
        if result.steps_per_second is None:
            grid.add_row(name, Text(str(result.status).replace("_", " "), style="dim"), "")
            continue
        style = _style(result.speedup)
        bar = Text(bar_of(result.steps_per_second, most, _BAR), style=style)
        grid.add_row(name, bar, f"{result.steps_per_second:.4g}", ratio_text(result))
    return grid


def bar_of(value: float, most: float, width: int) -> str:
    """A bar in eighths of a cell; the largest value fills the width."""
    eighths = round(value / most * width * 8) if most > 0 else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _style(ratio: Ratio | None) -> str:
    if ratio is None:
        return "blue"
    return "green" if ratio.faster else "red" if ratio.slower else "blue"


def ratio_text(result: BenchResult) -> str:
    """`1.21× [1.19–1.23]`, or that nothing is shown."""
    ratio = result.speedup
    if ratio is None:
        return "unchanged" if result.baseline else UNKNOWN
    said = f"{ratio.value:.2f}× [{ratio.low:.2f}–{ratio.high:.2f}]"
    return said if ratio.faster or ratio.slower else f"{said} no difference shown"


def _numbers(kind: BenchKind, results: Sequence[BenchResult], width: int) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    titles = ["setting", "median step", "quartiles", "steps", "warm-up"]
    script = kind is BenchKind.WHAT_IF
    titles += ["peak memory", "losses"] if script else ["new shape", "peak memory", "same bits"]
    for place, title in enumerate(titles):
        grid.add_column(title, justify="left" if place == 0 else "right", no_wrap=width >= 100)
    for result in results:
        if result.status is not Status.MEASURED or result.step is None:
            continue
        step = result.step
        quartiles = (step.lower_quartile_seconds, step.upper_quartile_seconds)
        cells: list[str] = [
            duration(step.median_seconds),
            "–".join(duration(value) for value in quartiles),
            f"{step.steps} in {step.rounds}",
            duration(result.warmup_seconds),
        ]
        memory = data_size(result.peak_memory_bytes)
        if script:
            cells += [memory, text(result.trajectory)]
        else:
            cells += [duration(result.new_shape_seconds), memory, _same(result.equality)]
        grid.add_row(safe(result.setting), *cells)
    return grid


def _same(equality: Equality | None) -> str:
    return UNKNOWN if equality is None else "yes" if equality.bitwise else "no"


def _details(results: Sequence[BenchResult]) -> Iterator[Text]:
    for result in results:
        for line in details(result):
            yield safe(f"{result.setting}: {line}")


def details(result: BenchResult) -> Iterator[str]:
    """What there is to say about a setting beside its numbers."""
    if result.status is not Status.MEASURED:
        yield f"{str(result.status).replace('_', ' ')}: {text(result.reason)}"
    if result.payback_steps is not None:
        yield f"its longer warm-up is earned back after {result.payback_steps} steps"
    for operator in result.operators:
        place = f" (called at {operator.source_line})" if operator.source_line else ""
        yield f"{operator.name} has no deterministic version{place}"
    if result.equality is not None and result.equality.difference is not None:
        found = result.equality.difference
        yield (
            f"two runs first differ in step {found.step}, {found.phase}, layer {found.layer}; "
            f"largest difference after {result.equality.steps} steps: "
            f"outputs {_exact(found.outputs)}, gradients {_exact(found.gradients)}, "
            f"weights {_exact(found.weights)}"
        )
    yield from result.notes
    if result.edit is not None and result.speedup is not None and result.speedup.faster:
        place = f" ({result.edit.source_line})" if result.edit.source_line else ""
        yield f"to change: {result.edit.text}{place}"


def _exact(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"
