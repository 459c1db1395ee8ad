from __future__ import annotations

import datetime as dt
from dataclasses import replace

from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.cells import Level
from gpudoctor.present.checked import from_findings, with_told
from gpudoctor.present.remarks import Remark

MILD = Finding("gpu.clocks", Severity.WARNING, "GPU 1", "runs below its clocks")
BAD = Finding("torch.build", Severity.ERROR, "torch", "is built without CUDA")
SMALL = Finding("note", Severity.INFO, "host", "is a host")


def test_the_worst_finding_is_named_and_the_others_are_counted():
    words = "check (E): torch: is built without CUDA (+1 more)"
    assert from_findings((MILD, BAD, SMALL)) == (Remark(Level.BAD, words),)
    assert from_findings((MILD,))[0].level is Level.WARN


def test_what_is_only_worth_knowing_is_no_remark():
    assert from_findings((SMALL,)) == ()
    assert from_findings(()) == ()


def told(*findings):
    return Inspected("gpudoctor.check/1", dt.datetime.fromtimestamp(1_000_000, dt.UTC), findings)


def test_what_the_daemon_found_alone_stands_behind_and_says_so():
    own, (first, second) = (MILD,), with_told((MILD,), told(BAD, MILD))
    assert (first,) == own
    assert second.summary == "is built without CUDA (by the daemon)"
    assert second.evidence[-1].startswith("found by the daemon at ")
    assert (second.id, second.severity, second.subject) == (BAD.id, BAD.severity, BAD.subject)


def test_the_same_of_another_gpu_is_not_the_same():
    assert len(with_told((MILD,), told(replace(MILD, subject="GPU 2")))) == 2


def test_without_a_daemon_the_findings_are_those_of_here():
    assert with_told((MILD,), None) == (MILD,)
