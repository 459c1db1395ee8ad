from __future__ import annotations

import pytest

from gpudoctor.history.values import GpuHistory, GpuPoint
from gpudoctor.history.values import History as Recorded
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.tui.history import WINDOWS, Grain, History, Track, recorded, window_over
from tests.builders import AT, GIB, device, process, snapshot, uuid_of

# A whole multiple of all lengths that graphs have here.
T = 1_789_992_000.0


def track(*values, every=1.0):
    made = Track()
    for number, value in enumerate(values):
        made.add(T + number * every, value)
    return made


def test_the_newest_value_stands_at_the_right():
    made = track(0.1, 0.2, None, 0.4)
    assert made.columns(60, 60, T + 3)[-5:] == [None, 0.1, 0.2, None, 0.4]
    assert Track().columns(60, 3, T) == [None, None, None]
    assert made.columns(60, 0, T) == []


def test_columns_are_means_of_what_falls_into_them():
    assert track(*range(12)).columns(60, 12, T + 11)[-3:] == [2.0, 7.0, 10.5]


def test_a_column_that_has_begun_does_not_move_the_ones_before_it():
    before = track(1.0, 3.0, 5.0, 7.0).columns(60, 30, T + 3)
    after = track(1.0, 3.0, 5.0, 7.0, 100.0).columns(60, 30, T + 4)
    assert after[:-1] == before[1:]
    assert after[-1] == 100.0


def test_a_value_stands_until_the_next_one_where_columns_are_shorter_than_looks():
    assert track(0.5, 0.6, every=5.0).columns(60, 60, T + 6)[-7:] == [0.5] * 5 + [0.6, 0.6]


def test_nothing_is_known_where_no_look_was_taken_for_long():
    made = track(0.1, 0.1, 0.1)
    made.add(T + 40, 0.9)
    shown = made.columns(60, 60, T + 40)
    assert shown[-1] == 0.9
    assert shown[-5:-1] == [None] * 4


@pytest.mark.parametrize(("window_s", "back_s"), [(60, 3), (60, 900), (3600, 600), (3600, 90_000)])
def test_after_the_clock_was_set_back_the_newest_value_stands_at_the_right(window_s, back_s):
    made = track(*[0.1] * 40)
    made.add(T + 40 - back_s, 0.7)
    made.add(T + 41 - back_s, 0.7)
    shown = made.columns(window_s, 60, T + 41 - back_s)
    assert shown[-1] == 0.7
    assert shown[0] is None


def test_an_hour_and_a_day_are_kept_as_means_and_no_more():
    made = Track()
    for second in range(0, 100_000, 5):
        made.add(T + second, float(second % 10) / 5)
    now = T + 99_995
    assert made.columns(86_400, 24, now) == pytest.approx([0.5] * 24)
    assert made.columns(3_600, 60, now) == pytest.approx([0.5] * 60)
    assert sum(len(grain._points) for grain in made._grains) < 2_000
    assert made.oldest == pytest.approx(now - 86_400, abs=120)


def test_what_was_recorded_stands_before_what_was_seen_and_not_in_its_place():
    made = track(0.8, 0.9)
    made.fill(600, [(T - 20, 0.1), (T - 10, 0.2), (T, 0.3), (T + 1, 0.4)])
    shown = made.columns(60, 12, T + 1)
    assert (shown[-1], shown[-3], shown[-5]) == (pytest.approx(0.85), 0.2, 0.1)


def test_steps_that_were_recorded_do_not_overlap_with_those_that_were_seen():
    grain = Grain(10, 3_600)
    grain.add(T + 3, 0.5)
    grain.fill([(T - 10, 0.1), (T - 5, 0.2), (T, 0.3)])
    assert [at for at, _ in grain._points] == [T - 10, T]


def gpu(*points, total=80 * GIB):
    return GpuHistory(uuid_of(0), 0, "H100", total, 5.0, points)


def test_recordings_fill_the_graphs_and_tell_how_far_back_they_reach():
    history = History()
    history.add(snapshot(device()))
    old = GpuPoint(AT - 7_200, 1.0, 0.7, memory_used_bytes=40 * GIB)
    history.fill(86_400, Recorded(0, 1, (gpu(old, GpuPoint(AT - 60, 0.0)),), (), ()))
    assert history.reach_s(AT) == 7_200
    shown = history.utilization[uuid_of(0)].columns(86_400, 24, AT)
    assert (shown[-3], shown[-1]) == (0.7, 0.5)
    assert history.memory[uuid_of(0)].columns(86_400, 24, AT)[-3] == 0.5


def test_memory_of_a_gpu_whose_size_is_not_known_is_not_known():
    history = History()
    point = GpuPoint(AT - 10, 1.0, memory_used_bytes=GIB)
    history.fill(600, Recorded(0, 1, (gpu(point, total=None),), (), ()))
    assert set(history.memory[uuid_of(0)].columns(60, 6, AT)) == {None}
    assert History().reach_s(AT) == 0


def test_each_window_that_reaches_further_than_the_first_is_asked_for():
    class Asked:
        def read(self, since, until):
            spans.append(round(until - since))
            return None if until - since > 80_000 else Recorded(since, until, (), (), ())

    spans: list[int] = []
    assert [seconds for seconds, _ in recorded(Asked())] == [600, 3_600]
    assert spans == [window.seconds for window in WINDOWS[1:]]


def test_a_gpu_that_does_not_answer_leaves_a_gap_and_no_old_value():
    history = History()
    history.add(snapshot(device()))
    history.add(snapshot(device(state=DeviceState.STALE), taken_at=AT + 1))
    assert history.utilization[uuid_of(0)].columns(60, 60, AT + 1)[-2:] == [0.5, None]
    assert history.memory[uuid_of(0)].columns(60, 60, AT + 1)[-2:] == [0.25, None]


def test_a_process_that_ended_is_forgotten_and_its_reused_pid_begins_anew():
    history = History()
    history.add(snapshot(processes=(process(7, started=1.0, used=GIB),)))
    history.add(snapshot(processes=(process(7, started=2.0, used=2 * GIB),)))
    (held,) = history.processes.values()
    assert held.columns(60, 1, AT) == [2.0 * GIB]


def test_a_process_is_known_from_its_first_look_on_though_nobody_looked_at_it_then():
    history = History()
    for second, used in ((0, 1), (30, 2), (50, 1)):
        row = process(7, used=used * GIB)
        history.add(snapshot(processes=(row,), taken_at=AT + second))
    (held,) = history.processes.values()
    assert held.begun == AT
    shown = held.columns(60, 60, AT + 59)
    assert shown[30 - 1] == GIB
    assert shown[30:50] == [2.0 * GIB] * 20
    assert shown[50:] == [GIB] * 10


@pytest.mark.parametrize(("known", "name"), [(0, "1 min"), (61, "10 min"), (1e6, "1 d")])
def test_the_shortest_window_that_shows_all_is_chosen(known, name):
    assert window_over(known).name == name
