"""Findings as text: for a terminal, a pipe, an issue."""

from __future__ import annotations

import io

from rich.console import Console

from gpudoctor.model.check import CheckOutcome, CheckReport, Outcome
from gpudoctor.model.finding import Finding, Fix, Severity
from gpudoctor.present.findings import summary
from gpudoctor.present.paste import findings as markdown
from gpudoctor.render.findings import plain, show

COMMAND = "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130 # long"
CAUSE = Finding(
    "torch.cpu-build",
    Severity.ERROR,
    "this Python",
    "torch was built without CUDA, and this machine has GPUs of several kinds",
    ("torch.version.cuda: None",),
    Fix("Replace it.", (COMMAND,)),
    ("https://example.org",),
)
RESULT = Finding(
    "torch.unavailable",
    Severity.ERROR,
    "this Python",
    "is_available() is False",
    caused_by=("torch.cpu-build",),
)
NOTE = Finding("a.note", Severity.INFO, "GPU 0", "name with \x1b[31m escape")


def report(*findings: Finding) -> CheckReport:
    outcomes = [CheckOutcome(f.id, Outcome.FOUND, 0.1, 1) for f in findings]
    skipped = CheckOutcome("x.y", Outcome.NOT_APPLICABLE, 0.0, 0, "no driver")
    return CheckReport(findings, (*outcomes, skipped), 1.25)


def on_terminal(width: int, *findings: Finding, **options) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    show(console, report(*findings), **options)
    return console.file.getvalue()


def test_a_consequence_stands_indented_under_its_cause():
    lines = plain(report(CAUSE, RESULT)).splitlines()
    cause = next(line for line in lines if "torch.cpu-build]" in line)
    result = next(line for line in lines if "torch.unavailable]" in line)
    assert cause.startswith("error    this Python")
    assert result.startswith("  error    this Python")
    assert any(line.strip() == "follows from torch.cpu-build" for line in lines)


def test_a_command_is_one_line_however_narrow_the_terminal_is():
    assert COMMAND in on_terminal(40, CAUSE)
    assert COMMAND in plain(report(CAUSE)).splitlines()[-3]


def test_the_severity_is_a_word_and_not_only_a_colour():
    text = on_terminal(80, CAUSE, NOTE)
    assert "error" in text
    assert "info" in text


def test_no_name_can_drive_the_terminal():
    for text in (plain(report(NOTE)), on_terminal(80, NOTE)):
        assert "\x1b[31m" not in text
        assert "\\x1b" in text


def test_sources_and_what_does_not_apply_are_shown_on_demand():
    assert "https://example.org" not in plain(report(CAUSE))
    text = plain(report(CAUSE), verbose=True)
    assert "source: https://example.org" in text
    assert "not applicable  x.y: no driver" in text
    assert "https://example.org" in on_terminal(80, CAUSE, verbose=True)


def test_the_summary_counts_what_was_looked_at():
    assert summary(report()) == "Nothing found: 0 checks ran, 1 do not apply here (1.25 s)"
    assert summary(report(CAUSE, RESULT, NOTE)).startswith("2 errors, 1 note: 3 checks ran")


def test_markdown_nests_what_follows():
    lines = markdown(report(CAUSE, RESULT)).splitlines()
    assert any(line.startswith("- **error** this Python: torch was") for line in lines)
    assert any(line.startswith("  - **error** this Python: is_available") for line in lines)
    assert f"    - `{COMMAND}`" in lines
