from __future__ import annotations

from gpudoctor.history.values import Note
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.cells import Level
from gpudoctor.present.checked import from_findings, from_notes
from gpudoctor.present.remarks import Remark

MILD = Finding("gpu.clocks", Severity.WARNING, "GPU 1", "runs below its clocks")
BAD = Finding("torch.build", Severity.ERROR, "torch", "is built without CUDA")
SMALL = Finding("note", Severity.INFO, "host", "is a host")


def note(text, *, ended=False, severity="error", kind="finding"):
    return Note(0.0, kind, "gpu.ecc", severity, text, ended)


def test_the_worst_finding_is_named_and_the_others_are_counted():
    words = "check (E): torch: is built without CUDA (+1 more)"
    assert from_findings((MILD, BAD, SMALL)) == (Remark(Level.BAD, words),)
    assert from_findings((MILD,))[0].level is Level.WARN


def test_what_is_only_worth_knowing_is_no_remark():
    assert from_findings((SMALL,)) == ()
    assert from_findings(()) == ()


def test_what_a_daemon_noted_counts_until_it_is_noted_to_be_over():
    begin = note("gpu.ecc: GPU 1: 3 errors")
    (one,) = from_notes((begin,))
    assert one.text == "check (E): GPU 1: 3 errors"
    over = note("gpu.ecc: GPU 1: no longer found", ended=True)
    assert from_notes((begin, over)) == ()
    assert from_notes((over, begin)) == (one,)
    assert from_notes((note("gpu.ecc: GPU 12: 3 errors"), over)) != ()


def test_other_notes_and_severities_that_are_not_known_say_nothing():
    assert from_notes((note("x: y: z", kind="orphan"), note("x: y: z", severity="odd"))) == ()
