from __future__ import annotations

from gpudoctor.model.snapshot import DeviceState
from gpudoctor.tui.history import History, Track
from tests.builders import GIB, device, process, snapshot, uuid_of


def track(*values):
    made = Track()
    for value in values:
        made.add(value)
    return made


def test_the_last_values_come_oldest_first():
    assert track(1.0, 2.0, None, 4.0).points(3) == [2.0, None, 4.0]
    assert track(1.0).points(3) == [1.0]
    assert track().points(3) == []


def test_longer_points_are_means_over_whole_steps():
    assert track(1.0, 3.0, 5.0, 7.0).points(2, step=2) == [2.0, 6.0]


def test_a_point_that_has_begun_does_not_move_the_ones_before_it():
    before = track(1.0, 3.0, 5.0, 7.0).points(4, step=2)
    after = track(1.0, 3.0, 5.0, 7.0, 100.0).points(4, step=2)
    assert after[: len(before)] == before
    assert after[-1] == 100.0


def test_an_hour_is_kept_and_no_more():
    made = Track()
    for value in range(5_000):
        made.add(float(value))
    assert len(made.points(10_000)) == 3_600


def test_a_gpu_that_does_not_answer_leaves_a_gap_and_no_old_value():
    history = History()
    history.add(snapshot(device()))
    history.add(snapshot(device(state=DeviceState.STALE)))
    assert history.utilization[uuid_of(0)].points(2) == [0.5, None]
    assert history.memory[uuid_of(0)].points(2) == [0.25, None]


def test_a_process_that_ended_is_forgotten_and_its_reused_pid_begins_anew():
    history = History()
    history.add(snapshot(processes=(process(7, started=1.0, used=GIB),)))
    history.add(snapshot(processes=(process(7, started=2.0, used=2 * GIB),)))
    assert [values.points(5) for values in history.processes.values()] == [[2.0 * GIB]]
