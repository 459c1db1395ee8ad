from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import OperatorTime
from gpudoctor.model.profile import ProfileFinding, StepTimes
from gpudoctor.render.profile import facts, report, verdict
from tests.profile.build import RUN, WINDOW, profile

FINDING = ProfileFinding(
    id="a.b",
    severity=Severity.WARNING,
    summary="It waits.",
    gain_seconds=2.0,
    source_line="/home/me/src/main.py:3",
    evidence=("one", "two"),
    fix=Fix("Do not."),
)


def text(seen, folder=None) -> str:
    console = Console(width=200, markup=False, highlight=False, record=True, file=io.StringIO())
    console.print(*report(seen, folder), sep="\n")
    return console.export_text()


def test_a_script_that_gave_up_before_its_first_step_is_not_called_healthy():
    gave_up = profile(run=replace(RUN, how="exit", exit_code=2), steps=None, window=None)
    (line,) = verdict(gave_up)
    assert line.plain == (
        "The script ended with exit code 2, and no training or inference step was seen."
    )
    assert line.style == "yellow"
    trained = profile(run=replace(RUN, how="exit", exit_code=2))
    assert [one.plain for one in verdict(trained)] == ["Nothing to complain about."]


@pytest.mark.parametrize(
    ("how", "words"), [("interrupted", "was interrupted"), ("terminated", "was ended by SIGTERM")]
)
def test_a_script_that_was_cut_off_before_its_first_step_is_not_called_healthy(how, words):
    cut_off = replace(RUN, how=how, exit_code=None)
    (line,) = verdict(profile(run=cut_off, steps=None, window=None))
    assert line.plain == f"The script {words} before any training or inference step was seen."
    assert line.style == "yellow"


def test_calls_of_a_module_are_not_said_to_be_all_of_the_loop():
    steps = StepTimes("forward", 13, 6.5, 0.02, 0.04, 0.03, ())
    shown = dict(facts(profile(steps=steps)))["Steps"]
    assert shown.startswith("13 calls of a module watched, median 20.0 ms")
    assert shown.endswith("the loop went on for 6.50 s")


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


CRASH = replace(
    RUN,
    how="exception",
    exit_code=1,
    exception="ValueError: x",
    exception_line="/home/me/main.py:9",
)


def test_after_an_exception_nothing_is_said_to_be_fine():
    (only,) = verdict(profile(run=CRASH, steps=None, window=None))
    assert only.plain.startswith("The script ended by an exception")
    assert "Nothing to complain about" not in text(profile(run=CRASH))


def test_an_exception_and_the_findings_stand_apart_within_ten_lines():
    lines = [line.plain for line in verdict(profile(run=CRASH, findings=(FINDING,) * 5))]
    assert lines[1] == ""
    assert lines[2].startswith("1. It waits.")
    assert lines[-1].startswith("… and 3 more")
    assert len(lines) <= 10


def test_a_step_without_the_profiler_is_named_only_where_it_is_known():
    assert "after step 5; 100 ms without it)" in text(profile())
    unknown = replace(WINDOW, plain_step_seconds=None)
    assert "after step 5)" in text(profile(window=unknown))


def test_what_is_unknown_is_shown_as_a_dash():
    assert "exit code –" in text(profile(run=replace(RUN, exit_code=None)))


@pytest.mark.parametrize(
    ("steps", "words"), [(1, "the profiled step"), (8, "the 8 profiled steps")]
)
def test_the_operators_times_say_over_how_many_steps_they_are(steps, words):
    operator = OperatorTime("aten::mm", 3, 0.1, None)
    seen = profile(window=replace(WINDOW, steps=steps, operators=(operator,)))
    assert f"Operators, by their own time in {words}\n" in text(seen)


@pytest.mark.parametrize("traced", [True, False])
def test_a_trace_is_named_only_where_there_is_one(tmp_path, traced):
    if traced:
        (tmp_path / "trace.json").write_text("{}")
    assert ("trace.json" in text(profile(), tmp_path)) is traced
