from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.history.values import GpuHistory, GpuPoint, History, Note
from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.present.cells import Level
from gpudoctor.present.happenings import happening_row, happenings, moment, next_kind, summary
from tests.builders import AT, GIB, device, snapshot, uuid_of

NOTES = (
    Note(AT - 500, "finding", "gpu.ecc", "error", "gpu.ecc: GPU 1: errors", gpus=(1,)),
    Note(AT - 400, "finding", "gpu.ecc", "error", "gpu.ecc: GPU 1: no longer found", True, (1,)),
    Note(AT - 300, "orphan", "left", "warning", "orphan: pid 7 of ana holds 9 GiB", pid=7),
    Note(AT - 200, "gpu", "silent", "error", "GPU 0 is lost", gpus=(0,)),
)


def points(*slowed, step=30.0, begun=AT - 7200):
    return tuple(
        GpuPoint(begun + n * step, 1.0, slowed_ratio=ratio, temperature_celsius=80 + n)
        for n, ratio in enumerate(slowed)
    )


def recorded(*, events=(), notes=(), gpus=()):
    return History(AT - 86400, AT, gpus, (), events, notes=notes)


def one_gpu(*slowed, step=30.0):
    return GpuHistory(uuid_of(0), 0, "H100", 80 * GIB, step, points(*slowed, step=step))


NOW = snapshot(device(0), device(1))


def test_notes_events_and_the_drivers_own_words_stand_in_one_order_the_newest_first():
    events = (GpuEvent(AT - 350, uuid_of(1), "xid", 79),)
    live = replace(NOW, events=(GpuEvent(AT - 10, uuid_of(0), "xid", 13),))
    found = happenings(live, recorded(events=events, notes=NOTES))
    assert [one.name for one in found] == [
        *("Xid 13", "silent", "left over", "Xid 79", "finding", "finding")
    ]
    assert [one.gpus for one in found] == [(0,), (0,), (), (1,), (1,), (1,)]
    over = found[4]
    assert over.level is Level.GOOD and over.meaning.startswith("over: ")
    assert found[5].level is Level.BAD and found[2].level is Level.WARN


def test_an_event_that_was_recorded_and_is_still_told_stands_there_once():
    event = GpuEvent(AT - 10.0004, uuid_of(0), "xid", 13)
    again = replace(event, at=AT - 5)
    stored = replace(event, at=AT - 10)
    found = happenings(replace(NOW, events=(event, again)), recorded(events=(stored,)))
    assert [one.at for one in found] == [AT - 5, AT - 10]


def test_a_stretch_of_slow_clocks_is_one_line_and_a_short_one_none():
    found = happenings(NOW, recorded(gpus=(one_gpu(1, 0.9, 0.6, 0, 0, 1, None, 1),)))
    (one,) = found
    assert one.at == AT - 7200
    assert "for 1m30s" in one.meaning and "at most 82°C" in one.meaning


def test_a_hole_in_the_recording_ends_a_stretch():
    gpu = one_gpu(1, 1, 1, 1)
    late = tuple(replace(point, at=point.at + 3600) for point in gpu.points)
    found = happenings(NOW, recorded(gpus=(replace(gpu, points=(*gpu.points, *late)),)))
    assert [one.at for one in found] == [AT - 3600, AT - 7200]


def test_kinds_are_counted_and_chosen_one_after_the_other_without_the_empty_ones():
    found = happenings(NOW, recorded(notes=NOTES))
    texts = [cell.text for cell in summary(found, "gpu")]
    assert texts == ["all 4", "silent GPUs 1", "findings 2", "left over 1"]
    seen, kind = [], None
    for _ in range(4):
        kind = next_kind(found, kind)
        seen.append(kind)
    assert seen == ["gpu", "finding", "orphan", None]
    assert next_kind((), "gpu") is None


@pytest.mark.parametrize("ago", [3600, 86400 * 3])
def test_the_day_is_named_where_it_was_not_today(ago):
    noon = AT - AT % 86400 + 43200
    assert (len(moment(noon - ago, noon)) == 8) == (ago == 3600)


def test_words_from_the_recording_cannot_paint_the_terminal():
    bad = replace(NOTES[0], text="\x1b[31mred")
    (one,) = happenings(NOW, recorded(notes=(bad,)))
    assert "\x1b" not in happening_row(one, AT).cells[3].text
