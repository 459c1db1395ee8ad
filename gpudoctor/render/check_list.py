"""The table of checks, for --list, --explain and docs/checks.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.checks.registry import Check
from gpudoctor.render.text import safe

TIERS = {
    "A": "met every week",
    "B": "common",
    "C": "seldom, or on some machines",
    "D": "a matter of speed",
    "I": "worth knowing",
}
_HEAD = """\
# Checks

```
gpudoctor check [SCRIPT] [--python PY] [--only ID,GROUP] [--skip ID,GROUP]
                [--fail-on info|warning|error|never] [--json | --markdown] [--verbose] [--timeout SECONDS]
gpudoctor check --list            gpudoctor check --explain ID
```

These {count} checks ask the driver, the kernel, the container and a Python: the one named with
`--python`, else that of the active environment, else `python3` on PATH. torch is imported, and CUDA
started, only in a child process with a time limit (`--timeout`). With SCRIPT its text is read too, and
never run; `--only script` reads nothing else.

A check whose facts are not told on a machine does not apply there; it never counts as passed
(`--verbose` names the reason). "needs" names those facts. Where one finding explains another, the cause
is shown first and the consequence under it; "caused by" names what can explain a check's finding. A
check that crashes or hangs is reported, and the others go on.

Exit codes: 0 nothing at or above `--fail-on` (error, unless you say otherwise), 1 findings, 2 usage, 3
nothing could be looked at. `--json` prints one object, schema gpudoctor.check/1: `findings[]`, causes
first, and `checks[]` with how each check ended.

A package can add checks: it registers them with `gpudoctor.checks.registry.check` in a module that it
names in the entry-point group `gpudoctor.checks`.

This page is generated: `gpudoctor check --list --markdown > docs/checks.md`.
"""


def table(checks: Sequence[Check]) -> RenderableType:
    """One line a check."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title in ("ID", "SEVERITY", "WHAT IT FINDS"):
        grid.add_column(title, no_wrap=title != "WHAT IT FINDS")
    for check in checks:
        grid.add_row(safe(check.id), check.severity.label, safe(check.title))
    return grid


def explained(check: Check) -> Iterator[RenderableType]:
    """All that is known of one check."""
    yield Text(f"{check.id}: {check.title}", style="bold")
    yield safe(check.explanation)
    yield Text("")
    for label, value in _facts(check):
        yield Text(f"{label}: ", style="dim").append_text(safe(value))


def _facts(check: Check) -> list[tuple[str, str]]:
    rows = [
        ("worst severity", check.severity.label),
        ("met", TIERS[check.tier]),
        ("needs", ", ".join(check.needs) or "nothing"),
    ]
    if check.uses:
        rows.append(("also looks at", ", ".join(check.uses)))
    if check.after:
        rows.append(("caused by", ", ".join(check.after)))
    return rows + [("source", source) for source in check.sources]


def markdown(checks: Sequence[Check]) -> str:
    """docs/checks.md."""
    lines = [_HEAD.format(count=len(checks))]
    for group, rows in groupby(checks, key=lambda check: check.group):
        lines += [f"## {group}", ""]
        for check in rows:
            lines += [f"### {check.id}", "", f"**{check.title}.** {check.explanation}", ""]
            lines += [f"- {label}: {value}" for label, value in _facts(check)]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"
