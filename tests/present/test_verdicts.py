from __future__ import annotations

import pytest

from gpudoctor.model.orphan import Offer, Orphan, Reason, Verdict, Weight
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.readings import UtilizationReading
from gpudoctor.present.cells import Level
from gpudoctor.present.facts import process_facts
from gpudoctor.present.processes import COLUMNS, process_row
from gpudoctor.present.remarks import remarks
from gpudoctor.present.verdicts import by_pid, verdict_of
from tests.builders import AT, GIB, device, process, snapshot

PARENT = Reason("owner-dead", Weight.MEDIUM, "its parent died", "parent is 1 (systemd)")
NOTE = Reason("note", Weight.NOTE, "it is a notebook", "ipykernel")
KILL = Offer("kill", "gpudoctor kill 100", "End it.")


def judged(verdict=Verdict.ORPHAN, started=AT - 60, pid=100, reasons=(NOTE, PARENT)):
    return Orphan(
        pid, ProcessKey(pid, started), verdict, reasons, (KILL,), 10 * GIB, (0,), user="cho"
    )


@pytest.mark.parametrize(
    ("started", "same"), [(AT - 60, True), (AT - 60.4, True), (AT - 50, False), (None, False)]
)
def test_a_verdict_belongs_to_the_process_that_was_judged_and_to_no_later_one(started, same):
    found = verdict_of(process(100, started=started), by_pid([judged()]))
    assert (found is not None) is same


def test_a_process_in_use_has_no_verdict():
    assert verdict_of(process(100), by_pid([judged(Verdict.IN_USE)])) is None


def test_the_row_of_a_left_over_process_says_so():
    row = process_row(process(100), AT, judged())
    cells = dict(zip((column.key for column in COLUMNS), row.cells, strict=True))
    assert (cells["verdict"].text, cells["verdict"].level) == ("orphan", Level.BAD)
    assert cells["pid"].level is Level.BAD
    assert process_row(process(100), AT).cells != row.cells


def test_a_left_over_process_is_remarked_with_its_strongest_reason_and_once_only():
    idle = device(utilization=UtilizationReading(0.0, 0.0))
    made = snapshot(idle, processes=(process(100, user="cho"),))
    found = remarks(made, by_pid([judged()]))
    assert [(remark.level, remark.text) for remark in found] == [
        (Level.WARN, "pid 100 of cho is left over with 10.0 GiB on GPU 0: its parent died")
    ]
    suspected = remarks(made, by_pid([judged(Verdict.SUSPECT)]))
    assert [remark.level for remark in suspected] == [Level.NOTICE]
    assert "may be left over" in suspected[0].text


def test_the_details_name_every_reason_with_its_evidence_and_what_can_be_done():
    facts = {fact.name: fact.value for fact in process_facts(process(100), AT, judged())}
    assert facts["verdict"] == "orphan"
    assert facts["hints at it"] == "its parent died: parent is 1 (systemd)"
    assert facts["kill"] == "gpudoctor kill 100  End it."
    assert "verdict" not in {fact.name for fact in process_facts(process(100), AT)}
