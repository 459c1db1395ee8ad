"""Parked processes as rows and lines."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.ending import MemoryReturn
from gpudoctor.model.parked import Parked, Share
from gpudoctor.model.parking import ParkOutcome, ParkResult
from gpudoctor.present.devices import users_by_uuid
from gpudoctor.present.parked import (
    done_lines,
    is_parked,
    memory_lines,
    parked_lines,
    plan_lines,
    with_parked,
)
from gpudoctor.present.processes import process_row, row_key
from gpudoctor.present.remarks import remarks
from gpudoctor.present.words import plain
from tests.builders import AT, GIB, device, process, snapshot, uuid_of

RECORD = Parked(
    7,
    123,
    "boot",
    "python",
    ("python", "train.py"),
    "ana",
    1000,
    (Share(0, uuid_of(0), 10 * GIB),),
    10 * GIB,
    AT - 60,
    confirmed=True,
)


def said(lines):
    return "\n".join(plain(words) for words in lines)


def test_a_parked_process_has_a_row_of_its_own_that_holds_no_gpu_memory():
    made = with_parked(snapshot(device(), processes=(process(1),)), [(RECORD, AT - 500.0)])
    assert [row.pid for row in made.processes] == [1, 7]
    row = made.processes[1]
    assert is_parked(row) and row_key(row) == f"7@{AT - 500.0}"
    shown = [cell.text for cell in process_row(row, AT, settled=False).cells]
    assert "0.00" in shown and "parked" in shown and "(parked) python train.py" in shown
    assert "judging" not in shown


def test_what_an_unanswered_driver_left_is_not_called_zero():
    doubtful = replace(RECORD, confirmed=False)
    made = with_parked(snapshot(device()), [(doubtful, AT)])
    assert made.processes[0].memory_used_bytes is None


def test_a_process_that_the_driver_lists_yet_keeps_its_row_and_is_marked():
    made = with_parked(snapshot(device(), processes=(process(7, used=GIB),)), [(RECORD, AT)])
    assert [(row.pid, row.state, row.memory_used_bytes) for row in made.processes] == [
        (7, "parked", GIB)
    ]


def test_a_parked_process_is_no_user_of_its_gpu_and_holds_nothing_idle():
    made = with_parked(snapshot(device()), [(RECORD, AT)])
    assert users_by_uuid(made) == {}
    assert "ana" not in "".join(remark.text for remark in remarks(made))


def test_a_parked_process_is_explained_as_parked():
    row = with_parked(snapshot(device()), [(RECORD, AT)]).processes[0]
    assert "It is parked" in said(parked_lines(row))
    assert "gpudoctor unpark 7" in said(parked_lines(row))
    assert "may be parked" in said(parked_lines(replace(row, memory_used_bytes=None)))


def test_without_parked_processes_the_snapshot_is_the_same():
    made = snapshot(device(), processes=(process(1),))
    assert with_parked(made, ()) is made


def test_a_refusal_is_told_with_its_hint():
    no = Condition("driver", Standing.REFUSE, "driver 535 cannot do it", "Install 570.")
    text = said(plan_lines(ParkResult(7, "python", ParkOutcome.REFUSED, conditions=(no,))))
    assert "no   driver 535 cannot do it" in text and "→ Install 570." in text


def test_an_unwished_end_is_told_with_its_reason_and_a_wished_one_without():
    failed = ParkResult(7, "p", ParkOutcome.RUNNING, seconds=1.0, detail="it is busy", hint="Wait.")
    assert said(done_lines(failed, "park")).startswith("7  was not parked and runs on unharmed")
    assert "it is busy" in said(done_lines(failed, "park"))
    assert said(done_lines(failed, "unpark")) == "7  runs on its GPUs after 1.00 s"


def test_memory_that_came_back_is_told_for_each_gpu():
    memory = (
        MemoryReturn(0, "a", 12 * GIB, 2 * GIB, 10 * GIB),
        MemoryReturn(1, "b", None, None, None),
    )
    text = said(memory_lines(memory))
    assert "GPU 0: 10.0 GiB came back, 2.0 GiB in use" in text
    assert "GPU 1: the driver does not tell" in text
