"""What park and unpark say, for every way in which it can end."""

from __future__ import annotations

import pytest

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.ending import MemoryReturn
from gpudoctor.model.parking import ParkOutcome, ParkReport, ParkResult
from gpudoctor.render.parking import plan_lines, report_lines
from tests.builders import GIB

CONDITIONS = (
    Condition("driver", Standing.OK, "driver 580.95.05", "not to be shown"),
    Condition("mig", Standing.REFUSE, "its GPU is in MIG mode", "switch it off"),
    Condition("rights", Standing.WARN, "without root", "sudo"),
)


def result(outcome: ParkOutcome, **changes) -> ParkResult:
    known = {
        "pid": 4711,
        "name": "python",
        "outcome": outcome,
        "command": ("python", "train.py"),
        "user": "ana",
        "memory_used_bytes": 40 * GIB,
        "conditions": CONDITIONS,
        "seconds": 2.0,
    }
    return ParkResult(**(known | changes))


def text(action: str, *results: ParkResult, dry_run: bool = False, memory=()) -> str:
    report = ParkReport(action, dry_run, results, tuple(memory))
    return "\n".join(line.plain for line in report_lines(report))


@pytest.mark.parametrize("action", ["park", "unpark"])
@pytest.mark.parametrize("outcome", ParkOutcome)
def test_every_end_has_words_and_names_the_process(action, outcome):
    assert "4711" in text(action, result(outcome))


def test_what_went_as_wished_is_told_without_excuses():
    said = text("park", result(ParkOutcome.PARKED, detail="an excuse", hint="an advice"))
    assert "is parked" in said
    assert "gpudoctor unpark 4711" in said
    assert "excuse" not in said
    assert "advice" not in said


def test_what_went_wrong_is_told_with_the_reason_and_what_to_do():
    said = text("park", result(ParkOutcome.RUNNING, detail="the lock's time", hint="wait"))
    assert "was not parked and runs on unharmed" in said
    assert "the lock's time" in said
    assert "→ wait" in said


def test_running_is_the_wish_of_unpark_and_parked_its_failure():
    assert "runs on its GPUs" in text("unpark", result(ParkOutcome.RUNNING))
    assert "is parked yet" in text("unpark", result(ParkOutcome.PARKED))


def test_a_refusal_shows_every_condition_and_the_hints_of_those_that_do_not_hold():
    said = text("park", result(ParkOutcome.REFUSED))
    for condition in CONDITIONS:
        assert condition.text in said
    assert "switch it off" in said
    assert "not to be shown" not in said


def test_before_the_question_only_what_does_not_hold_is_told():
    said = "\n".join(line.plain for line in plan_lines((result(ParkOutcome.PLANNED),)))
    assert "driver 580" not in said
    assert "without root" in said
    assert "40.0 GiB" in said


def test_memory_that_the_driver_does_not_tell_is_not_shown_as_zero():
    memory = (MemoryReturn(0, "GPU-0", None, None, None), MemoryReturn(1, "GPU-1", 5, 1, 4))
    said = text("park", result(ParkOutcome.PARKED), memory=memory)
    assert "GPU 0: the driver does not tell" in said
    assert "GPU 1: 4 B came back, 1 B in use" in said


def test_nothing_parked_is_said_in_words():
    assert text("unpark") == "No process is noted as parked."


def test_a_hostile_command_cannot_drive_the_terminal():
    bad = result(ParkOutcome.REFUSED, command=("python", "\x1b[2J"), user="a\nb")
    assert "\x1b" not in text("park", bad)
    assert "a\nb" not in text("park", bad)
