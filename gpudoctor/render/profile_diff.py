"""The text of `gpudoctor profile --diff`: the step first, then what changed inside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from gpudoctor.model.profile_diff import Change, ProfileDiff
from gpudoctor.render.profile import short
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import data_size, duration, percent, text

_STYLE = {"better": "green", "worse": "red", "new": "red", "gone": "green"}
_WORDS = {
    "better": "faster",
    "worse": "slower",
    "same": "",
    "unknown": "",
    "new": "new",
    "gone": "gone",
}
_MOST = 10


def report(diff: ProfileDiff, cwd: str) -> Iterator[RenderableType]:
    """The verdict in a line, then totals, phases, operators, lines and findings."""
    yield Text()
    yield _verdict(diff.step)
    for finding in diff.solved:
        yield Text("  solved: ", style="green") + safe(finding.summary)
    for finding in diff.new:
        yield Text("  new: ", style="red") + safe(finding.summary)
    yield safe(f"before: {diff.before.folder}   after: {diff.after.folder}", "dim")
    yield from _rows("The run", diff.totals, cwd, words=False)
    yield from _rows("Phases of a step", diff.phases, cwd)
    yield from _rows("Operators, their own time per step", diff.operators, cwd)
    yield from _rows("Lines of your code, per step", diff.lines, cwd, places=True)
    for note in diff.notes:
        yield safe(f"Note: {note}", "dim")


def _verdict(step: Change) -> Text:
    if step.before is None or step.after is None:
        return Text("No step can be compared: one of the runs has none.", style="yellow")
    span = f"{duration(step.before)} → {duration(step.after)}"
    if step.verdict == "same":
        return Text(f"A step takes as long as before: {span}, within the noise.", style="bold")
    factor = max(step.before, step.after) / max(min(step.before, step.after), 1e-12)
    word = _WORDS[step.verdict]
    return Text(
        f"A step is {factor:.2f} times {word}: {span}.", style=f"bold {_STYLE[step.verdict]}"
    )


def _rows(
    heading: str, changes: tuple[Change, ...], cwd: str, *, words: bool = True, places: bool = False
) -> Iterator[RenderableType]:
    if not changes:
        return
    yield title(heading)
    grid = table(("", "BEFORE", "AFTER", "CHANGE", ""))
    for one in changes[:_MOST]:
        style = _STYLE.get(one.verdict, "")
        name = safe(one.name)
        name.truncate(48, overflow="ellipsis")
        row = [name, Text(_value(one, one.before)), Text(_value(one, one.after))]
        verdict = _WORDS[one.verdict] if words else ""
        grid.add_row(
            *row,
            Text(_change(one), style=style),
            Text(verdict, style=style),
            *_place(one, cwd, places),
        )
    yield grid


def _place(change: Change, cwd: str, wanted: bool) -> tuple[Text, ...]:
    return (safe(short(change.place, cwd), "dim"),) if wanted else ()


def _value(change: Change, value: float | None) -> str:
    if value is None:
        return text(None)
    if change.unit == "bytes":
        return data_size(int(value))
    return percent(value) if change.unit == "ratio" else duration(value)


def _change(change: Change) -> str:
    delta = change.delta
    if delta is None:
        return text(None)
    if change.unit == "ratio":
        return f"{delta * 100:+.0f} points"
    return f"{delta / change.before * 100:+.0f}%" if change.before else text(None)
