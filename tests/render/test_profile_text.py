from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import ProfileFinding
from gpudoctor.render.profile import report, verdict
from tests.profile.build import RUN, profile

FINDING = ProfileFinding(
    id="a.b",
    severity=Severity.WARNING,
    summary="It waits.",
    gain_seconds=2.0,
    source_line="/home/me/src/main.py:3",
    evidence=("one", "two"),
    fix=Fix("Do not."),
)


def text(seen) -> str:
    console = Console(width=200, markup=False, highlight=False, record=True, file=io.StringIO())
    console.print(*report(seen), sep="\n")
    return console.export_text()


def test_the_verdict_comes_first_and_has_at_most_ten_lines():
    seen = profile(findings=(FINDING,) * 5)
    assert len(list(verdict(seen))) <= 10
    first, second, third = (line.plain for line in list(verdict(seen))[:3])
    assert first == "1. It waits.  up to 2.00 s to gain"
    assert second == "   src/main.py:3: one; two"
    assert third == "   → Do not."
    assert "… and 2 more" in text(seen)


def test_a_healthy_run_has_nothing_to_complain_about():
    assert [line.plain for line in verdict(profile())] == ["Nothing to complain about."]


def test_without_a_step_the_verdict_says_so():
    (line,) = verdict(profile(steps=None, window=None))
    assert "no training or inference step was seen" in line.plain


@pytest.mark.parametrize(
    ("how", "words"), [("exception", "ended by an exception"), ("not started", "did not start")]
)
def test_a_script_that_failed_is_said_with_its_line(how, words):
    run = replace(RUN, how=how, exception="ValueError: x", exception_line="/home/me/main.py:9")
    first = next(iter(verdict(profile(run=run))))
    assert first.plain == f"The script {words} at main.py:9: ValueError: x"


def test_what_is_unknown_is_shown_as_a_dash():
    assert "exit code –" in text(profile(run=replace(RUN, exit_code=None)))
