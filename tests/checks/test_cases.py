"""Every check: one that finds, one that stays silent, one where the facts are not told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.registry import registered
from gpudoctor.checks.runner import run_one
from gpudoctor.model.check import Outcome
from gpudoctor.model.probe import ProbeOutcome
from gpudoctor.units import printable
from tests.checks import cases_gpu, cases_machine, cases_script, cases_torch
from tests.checks.world import healthy

CHECKS = {check.id: check for check in registered()}
CASES = [*cases_gpu.CASES, *cases_machine.CASES, *cases_torch.CASES, *cases_script.CASES]


@pytest.mark.parametrize(
    ("name", "ctx", "words"), CASES, ids=[f"{n}-{w or 'silent'}" for n, _, w in CASES]
)
def test_a_check_finds_what_is_sick_and_only_that(name, ctx, words):
    outcome, findings = run_one(CHECKS[name], ctx)
    assert outcome.outcome is not Outcome.CRASHED, outcome.reason
    if words is None:
        assert findings == ()
        return
    assert any(words in finding.summary for finding in findings), findings
    for finding in findings:
        assert finding.id == name
        assert finding.severity <= CHECKS[name].severity
        assert finding.sources == CHECKS[name].sources
        assert printable(finding.summary) == finding.summary
        for command in finding.fix.commands if finding.fix else ():
            assert "\n" not in command
            # It is there to be pasted into a shell.
            assert not re.search(r"<[a-z ]+>", command)


@pytest.mark.parametrize("name", CHECKS)
def test_a_healthy_machine_yields_nothing(name):
    outcome, findings = run_one(CHECKS[name], healthy())
    assert findings == ()
    assert outcome.outcome in (Outcome.OK, Outcome.NOT_APPLICABLE), outcome.reason


@pytest.mark.parametrize("name", CHECKS)
def test_where_nothing_is_told_a_check_does_not_apply(name):
    outcome, findings = run_one(CHECKS[name], CheckContext())
    assert findings == ()
    assert outcome.outcome is Outcome.NOT_APPLICABLE
    assert outcome.reason


@pytest.mark.parametrize("name", cases_gpu.READ_FROM_GPU)
def test_a_reading_that_the_gpu_does_not_give_is_not_taken_for_good(name):
    outcome, _ = run_one(CHECKS[name], cases_gpu.NO_READINGS)
    assert outcome.outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_case_that_finds_and_one_that_is_silent(name):
    words = [word for case, _, word in CASES if case == name]
    assert None in words
    assert any(words)


class Tripwire:
    """Stands in the place of a fact that must not be looked at."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was looked at")

    def __bool__(self):
        raise AssertionError("it was looked at")


@pytest.mark.parametrize(
    ("name", "ctx", "words"),
    [case for case in CASES if not CHECKS[case[0]].asks_python],
)
def test_a_check_that_does_not_say_so_does_not_look_at_the_interpreter(name, ctx, words):
    outcome, _ = run_one(CHECKS[name], replace(ctx, probe=Tripwire(), distributions=Tripwire()))
    assert outcome.outcome is not Outcome.CRASHED, outcome.reason


def test_pip_is_not_advised_for_an_interpreter_of_the_distribution_which_refuses_it():
    advised = []
    for python in ("/usr/bin/python3", "/opt/env/bin/python"):
        ctx = cases_torch.ended(ProbeOutcome.NO_TORCH, "No module named torch", executable=python)
        _, (finding,) = run_one(CHECKS["torch.missing"], ctx)
        advised.append(finding.fix.commands[-1])
    system, own = advised
    assert system == "/usr/bin/python3 -m venv ~/torch && ~/torch/bin/pip install torch"
    assert own == "/opt/env/bin/python -m pip install torch"
