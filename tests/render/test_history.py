from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace

from rich.console import Console

from gpudoctor.history.values import GpuHistory, GpuPoint, History, Note, ProcessSpan
from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.render.history import page
from gpudoctor.render.sparkline import columns, sparkline
from tests.builders import AT, GIB, uuid_of


def gpu(*points, index=0):
    return GpuHistory(uuid_of(index), index, "NVIDIA H100", 80 * GIB, 1.0, points)


def point(second, utilization=0.5, up=1.0, **more):
    return GpuPoint(AT + second, up, utilization, **more)


def history(*gpus, processes=(), events=(), sources=("nvml",)):
    return History(AT, AT + 10, gpus, tuple(processes), tuple(events), sources)


def shown(told, width=100):
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    for part in page(told, width=width, zone=dt.UTC):
        out.print(part)
    return out.file.getvalue()


def test_the_highest_value_of_a_column_is_kept_and_gaps_stay_empty():
    points = [(0.0, 1.0), (0.4, 3.0), (1.0, None), (3.9, 2.0), (4.0, 9.0), (-1.0, 9.0)]
    assert columns(points, 0, 4, 4) == [3.0, None, None, 2.0]


def test_a_point_speaks_for_its_step_and_not_longer():
    assert columns([(0.0, 1.0), (2.0, 5.0)], 0, 8, 8, holds=2) == [
        1,
        1,
        5,
        5,
        None,
        None,
        None,
        None,
    ]
    assert columns([(7.9, 1.0)], 0, 8, 8, holds=5) == [None] * 7 + [1.0]


def test_blocks_grow_with_the_value_and_unknown_is_blank():
    assert sparkline([0.0, 0.5, 1.0, None, 7.0], 1.0) == "▁▅█ █"
    assert sparkline([0.0], 0.0) == "▁"


def test_a_gpu_is_drawn_with_mean_and_most():
    text = shown(history(gpu(point(1, 0.2), point(9, 0.8))))
    [line] = [line for line in text.splitlines() if "utilisation" in line]
    assert line.endswith("mean 50%, most 80%")
    assert "▂" in line and "▇" in line
    assert "power" not in text


def test_time_in_which_a_gpu_did_not_answer_is_told():
    down = [point(second, None, up=0.0) for second in (4, 5, 6)]
    text = shown(history(gpu(point(3), *down, point(7))))
    assert "did not answer from 2026-09-21 14:13:24 to 2026-09-21 14:13:27" in text
    text = shown(history(gpu(point(3), *down)))
    assert "did not answer from 2026-09-21 14:13:24 to the end" in text


def test_an_xid_is_told_with_its_meaning_and_the_vendors_advice():
    text = shown(history(gpu(point(1)), events=[GpuEvent(AT + 2, uuid_of(0), "xid", 79)]), 140)
    assert "Xid 79" in text
    assert "GPU has fallen off the bus; NVIDIA's catalogue: restart the machine" in text


def test_a_process_is_told_with_its_peak_and_whether_it_is_still_there():
    def span(pid, last):
        command = ("python", "a\x1b[31mb.py")
        return ProcessSpan(
            pid, AT, "ana", "python", command, uuid_of(0), AT, AT + last, 5 * GIB, GIB, 0.25
        )

    text = shown(history(gpu(point(1), point(9)), processes=[span(1, 2), span(2, 9)]))
    gone, still = [line for line in text.splitlines() if "ana" in line]
    assert "5.0 GiB" in gone and "25%" in gone and "*" not in gone
    assert "*" in still
    assert "\x1b" not in text


def test_nothing_recorded_is_said():
    assert "Nothing was recorded" in shown(history(gpu()))


def test_a_simulated_machine_is_marked():
    assert "SIMULATED" in shown(history(gpu(point(1)), sources=("demo",)))
    assert "SIMULATED" not in shown(history(gpu(point(1))))


def test_notes_and_events_are_told_in_the_order_of_their_times():
    told = replace(
        history(gpu(point(1)), events=(GpuEvent(AT + 3, uuid_of(0), "xid", 79),)),
        notes=(
            Note(AT + 2, "finding", "clocks.slow", "error", "GPU 0: slow", gpus=(0,)),
            Note(AT + 4, "orphan", "", "warning", "pid 7: no longer\x1b[2J", True, (0, 1), 7),
            Note(AT + 5, "finding", "driver.old", "warning", "the driver: old"),
        ),
    )
    lines = [
        " ".join(line.split()[2:]) for line in shown(told).splitlines() if line.startswith(" 20")
    ]
    assert lines[0] == "0 finding clocks.slow: GPU 0: slow"
    assert lines[1].startswith("0 Xid 79 GPU has fallen off the bus")
    assert lines[2] == "0,1 orphan gone pid 7: no longer\\x1b[2J"
    assert lines[3] == "– finding driver.old: the driver: old"
