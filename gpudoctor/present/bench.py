"""A benchmark's results as rows of a table, and what there is to say of each."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.bench import BenchReport, BenchResult, Equality, Status
from gpudoctor.present.cells import NOTHING, Cell, Level, Row, cell
from gpudoctor.present.columns import Column
from gpudoctor.present.words import Words, line
from gpudoctor.units import UNKNOWN, data_size, duration, printable, text

COLUMNS = (
    Column("subject", "SUBJECT", 10, rank=3, grow=1, most=24),
    Column("setting", "SETTING", 14, grow=1, most=24),
    Column("speed", "STEPS/S", 16, grow=2, most=30),
    Column("ratio", "AGAINST UNCHANGED", 20, grow=1, most=28),
    Column("step", "MEDIAN STEP", 11, rank=1, right=True),
    Column("warmup", "WARM-UP", 8, rank=2, right=True),
    Column("memory", "PEAK MEMORY", 11, rank=4, right=True),
    Column("same", "SAME", 8, rank=5),
)


def result_rows(report: BenchReport) -> list[Row]:
    """One row for each setting, by its place in the report. Bars are relative to the subject's best."""
    best: dict[str, float] = {}
    for result in report.results:
        best[result.subject] = max(best.get(result.subject, 0.0), result.steps_per_second or 0.0)
    return [_row(str(at), one, best[one.subject]) for at, one in enumerate(report.results)]


def _row(key: str, result: BenchResult, best: float) -> Row:
    level = _level(result)
    step = result.step
    cells = (
        Cell(printable(result.subject)),
        Cell(printable(result.setting), Level.NOTICE if result.baseline else Level.PLAIN),
        _speed(result, best),
        Cell(_ratio(result), level),
        cell(duration(step.median_seconds if step else None)),
        cell(duration(result.warmup_seconds)),
        cell(data_size(result.peak_memory_bytes)),
        _same(result),
    )
    return Row(key, cells, faded=result.status is not Status.MEASURED)


def _speed(result: BenchResult, best: float) -> Cell:
    speed = result.steps_per_second
    if speed is None:
        return NOTHING
    return Cell(f"{speed:.4g}", bar=speed / best if best else None)


def _level(result: BenchResult) -> Level:
    if result.status is Status.FAILED:
        return Level.BAD
    ratio = result.speedup
    if ratio is None:
        return Level.DIM
    return Level.GOOD if ratio.faster else Level.WARN if ratio.slower else Level.PLAIN


def _ratio(result: BenchResult) -> str:
    ratio = result.speedup
    if result.status is not Status.MEASURED:
        return str(result.status).replace("_", " ")
    if ratio is None:
        return "unchanged" if result.baseline else UNKNOWN
    return f"{ratio.value:.2f}× [{ratio.low:.2f}–{ratio.high:.2f}]"


def _same(result: BenchResult) -> Cell:
    if result.trajectory is not None:
        return Cell(str(result.trajectory))
    return NOTHING if result.equality is None else _bits(result.equality)


def _bits(equality: Equality) -> Cell:
    return Cell("bits", Level.GOOD) if equality.bitwise else Cell("not bits", Level.WARN)


def heading_lines(report: BenchReport) -> Iterator[Words]:
    """The verdicts, what is to be known, and where it was measured."""
    for verdict in report.verdicts:
        yield line(verdict, Level.NOTICE)
    for note in report.notes:
        yield line(note, Level.WARN)
    machine = report.machine
    if machine is not None:
        parts = [machine.device_name or machine.device]
        named = (("torch", machine.torch), ("cuDNN", machine.cudnn), ("driver", machine.driver))
        parts += [f"{name} {value}" for name, value in named if value]
        yield line(
            f"On {', '.join(parts)}; it took {duration(report.duration_seconds)}.", Level.DIM
        )


def result_lines(result: BenchResult) -> Iterator[Words]:
    """All that is known of one setting beside its numbers."""
    yield line(f"{result.subject}: {result.setting}", Level.NOTICE)
    if result.status is not Status.MEASURED:
        yield line(f"{str(result.status).replace('_', ' ')}: {text(result.reason)}", Level.WARN)
    step = result.step
    if step is not None:
        low, high = duration(step.lower_quartile_seconds), duration(step.upper_quartile_seconds)
        yield line(
            f"{step.steps} steps in {step.rounds} processes; the middle half of them took {low} to {high}."
        )
    ratio = result.speedup
    if ratio is not None and not (ratio.faster or ratio.slower):
        yield line("No difference to the unchanged run is shown.")
    if result.payback_steps is not None:
        yield line(f"Its longer warm-up is earned back after {result.payback_steps} steps.")
    if result.new_shape_seconds is not None:
        yield line(f"An input shape not seen before costs {duration(result.new_shape_seconds)}.")
    for operator in result.operators:
        place = f" (called at {operator.source_line})" if operator.source_line else ""
        yield line(f"{operator.name} has no deterministic version{place}.", Level.WARN)
    for note in result.notes:
        yield line(note)
    if result.edit is not None and ratio is not None and ratio.faster:
        place = f" ({result.edit.source_line})" if result.edit.source_line else ""
        yield line(f"To change: {result.edit.text}{place}", Level.GOOD)
        for words in (result.edit.patch or "").splitlines():
            yield line(words, Level.GOOD if words.startswith("+") else Level.DIM)
