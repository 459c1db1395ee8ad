from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.database import FILE, default_path
from gpudoctor.history.reader import read_history
from gpudoctor.history.recorder import Recorder
from gpudoctor.history.tiers import size_bytes
from gpudoctor.history.values import Note
from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import ClockReading, UtilizationReading
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from tests.builders import AT, GIB, device, process, snapshot, uuid_of


class Clock:
    now = AT

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / FILE


@pytest.fixture
def recorder(path, clock):
    made = Recorder(path, clock=clock)
    made.start()
    yield made
    made.stop()


def at(seconds, *devices, **changes):
    return snapshot(*devices, taken_at=AT + seconds, **changes)


def busy(ratio, **changes):
    return device(utilization=UtilizationReading(ratio, None), **changes)


def everything(path, **more):
    return read_history(path, since=AT - 10**6, until=AT + 10**7, **more)


def test_what_was_written_is_read(recorder, path):
    recorder.write(at(0, busy(0.5), processes=(process(),)))
    recorder.write(at(1, busy(0.7), processes=(process(used=30 * GIB),)))
    told = everything(path)
    [gpu] = told.gpus
    assert (gpu.uuid, gpu.index, gpu.step_seconds) == (uuid_of(0), 0, 1.0)
    assert [point.utilization_ratio for point in gpu.points] == [0.5, 0.7]
    assert gpu.points[0].memory_used_bytes == 20 * GIB
    assert gpu.points[0].slowed_ratio == 0.0
    assert gpu.points[0].sm_active_ratio is None
    [span] = told.processes
    assert (span.pid, span.user, span.command) == (100, "ana", ("python", "train.py"))
    assert (span.first_seen, span.last_seen) == (AT, AT + 1)
    assert (span.memory_peak_bytes, span.memory_last_bytes) == (30 * GIB, 30 * GIB)


def test_the_peak_of_a_process_survives_readings_that_are_missing(recorder, path):
    for second, used in enumerate((5 * GIB, None, 2 * GIB)):
        recorder.write(at(second, processes=(process(used=used),)))
    [span] = everything(path).processes
    assert (span.memory_peak_bytes, span.memory_last_bytes) == (5 * GIB, 2 * GIB)
    assert span.sm_mean_ratio is None


def test_a_pid_that_is_used_again_is_another_process(recorder, path):
    recorder.write(at(0, processes=(process(started=AT - 60),)))
    recorder.write(at(1, processes=(process(started=AT - 1, user="ben"),)))
    assert [span.user for span in everything(path, pid=100).processes] == ["ana", "ben"]


def test_a_process_on_two_instances_of_a_gpu_is_told_once(recorder, path):
    uses = tuple(
        GpuUse(0, uuid_of(0), "compute", size * GIB, gpu_instance=size, sm_ratio=0.5)
        for size in (1, 3, 2)
    )
    recorder.write(at(0, processes=(process(gpus=uses),)))
    [span] = everything(path).processes
    assert span.memory_peak_bytes == 3 * GIB
    assert span.sm_mean_ratio == 0.5


def test_a_lost_gpu_is_down_without_readings(recorder, path):
    recorder.write(at(0, busy(0.5)))
    recorder.write(at(1, busy(0.5, state=DeviceState.LOST)))
    points = everything(path).gpus[0].points
    assert [point.up_ratio for point in points] == [1.0, 0.0]
    assert points[1].utilization_ratio is None


def test_a_reason_that_holds_the_clocks_down_counts_but_idleness_does_not(recorder, path):
    for second, reasons in enumerate((("idle",), ("sw_power_cap",), None)):
        recorder.write(at(second, device(clocks=ClockReading(reasons=reasons))))
    slowed = [point.slowed_ratio for point in everything(path).gpus[0].points]
    assert slowed == [0.0, 1.0, None]


def test_events_are_written_once_though_snapshots_repeat_them(recorder, path):
    first = GpuEvent(AT, uuid_of(0), "xid", 79, "text")
    second = replace(first)
    recorder.write(at(0, events=(first,)))
    recorder.write(at(1, events=(first, second)))
    assert everything(path).events == (first, second)


def test_fine_points_become_coarse_ones_and_go_after_their_time(recorder, path, clock):
    for second in range(0, 4 * 3600, 5):
        recorder.write(at(second, busy(0.2 if second % 10 else 0.4)))
    clock.now = AT + 4 * 3600
    recorder.tidy()
    counts = dict(
        sqlite3.connect(path).execute("SELECT tier, count(*) FROM point GROUP BY tier").fetchall()
    )
    assert counts == {0: 720, 1: 1440, 2: 240}
    [gpu] = read_history(path, since=AT, until=AT + 10**6).gpus
    assert gpu.step_seconds == 10
    assert gpu.points[0].utilization_ratio == pytest.approx(0.3)
    [gpu] = read_history(path, since=clock.now - 1800, until=AT + 10**6).gpus
    assert gpu.step_seconds == 5


def test_the_newest_samples_are_seen_before_their_coarse_point_is_made(recorder, path, clock):
    for second in range(0, 7200, 5):
        recorder.write(at(second, busy(0.5)))
    clock.now = AT + 7000
    recorder.tidy()
    [gpu] = read_history(path, since=AT, until=AT + 10**6).gpus
    assert gpu.points[0].at <= AT
    assert gpu.points[-1].at == AT + 7195
    times = [point.at for point in gpu.points]
    assert times == sorted(set(times))


def test_tidying_twice_changes_nothing(recorder, path, clock):
    for second in range(0, 600, 5):
        recorder.write(at(second, busy(second / 600)))
    clock.now = AT + 600
    recorder.tidy()
    before = everything(path)
    recorder.tidy()
    assert everything(path) == before


def test_coarse_points_are_made_also_after_a_clock_that_was_ahead_was_set(recorder, path, clock):
    ahead = 400 * 86_400
    for second in range(ahead, ahead + 600, 5):
        recorder.write(at(second, busy(0.9)))
    clock.now = AT + ahead + 600
    recorder.tidy()
    for second in range(0, 7200, 5):
        recorder.write(at(second, busy(0.5)))
    clock.now = AT + 7200
    recorder.tidy()
    [gpu] = read_history(path, since=AT, until=AT + 7200).gpus
    assert (gpu.step_seconds, len(gpu.points)) == (10, 720)
    assert {point.utilization_ratio for point in gpu.points} == {0.5}


def test_after_a_month_everything_but_events_is_gone(recorder, path, clock):
    recorder.write(at(0, processes=(process(),), events=(GpuEvent(AT, uuid_of(0), "xid", 79),)))
    clock.now = AT + 31 * 86_400
    recorder.tidy()
    told = everything(path)
    assert told.gpus[0].points == ()
    assert told.processes == ()
    assert len(told.events) == 1


def test_the_size_stays_below_its_limit_by_forgetting_the_oldest(path, clock):
    recorder = Recorder(path, most_bytes=200_000, clock=clock)
    recorder.start()
    for minute in range(5000):
        recorder.write(at(minute * 60, busy(0.5)))
        if minute % 1000 == 999:
            clock.now = AT + minute * 60
            recorder.tidy()
    recorder.stop()
    with sqlite3.connect(path) as database:
        assert size_bytes(database) <= 200_000
        oldest, newest = database.execute("SELECT min(at), max(at) FROM point").fetchone()
    assert newest == int((AT + 4999 * 60) * 1000)
    assert oldest > int(AT * 1000)


def test_snapshots_are_written_in_the_background(recorder, path):
    for second in range(5):
        recorder.add(at(second))
    recorder.stop()
    assert len(everything(path).gpus[0].points) == 5
    assert recorder.errors == 0


def test_a_database_that_is_broken_is_moved_aside_and_told_of(path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 1000)
    recorder = Recorder(path)
    recorder.start()
    recorder.write(at(0))
    recorder.stop()
    assert len(everything(path).gpus) == 1
    [aside] = path.parent.glob(f"{FILE}.broken-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert str(aside) in caplog.text


def test_a_database_that_turns_out_to_be_broken_is_moved_aside_and_counted(path, clock):
    first = Recorder(path)
    first.start()
    for second in range(500):
        first.write(at(second))
    first.stop()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    second = Recorder(path, clock=clock)
    second.start()
    until = time.monotonic() + 20
    while not list(path.parent.glob(f"{FILE}.broken-*")):
        assert time.monotonic() < until
        second.add(at(1000))
        time.sleep(0.05)
    second.add(at(1001))
    second.stop()
    assert second.errors >= 1
    assert everything(path).gpus[0].points[-1].at == AT + 1001


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(GpuDoctorError, match="cannot be opened"):
        Recorder(tmp_path / "x" / FILE).start()


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GpuDoctorError, match="cannot be opened"):
        Recorder(tmp_path / "file" / FILE).start()


def test_where_nothing_was_recorded_it_is_said(path):
    with pytest.raises(GpuDoctorError, match="there is no history"):
        everything(path)


def test_a_gpu_that_was_never_there_is_told(recorder, path):
    recorder.write(at(0))
    assert len(everything(path, gpu="0").gpus) == 1
    assert len(everything(path, gpu=uuid_of(0)[:10]).gpus) == 1
    with pytest.raises(GpuDoctorError, match="no GPU 7"):
        everything(path, gpu="7")


def test_the_file_is_for_its_owner_alone(recorder, path):
    assert path.stat().st_mode & 0o777 == 0o600


def test_systemd_names_the_folder(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/gpudoctor:/other")
    assert str(default_path()) == f"/var/lib/gpudoctor/{FILE}"


_WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from gpudoctor.history.recorder import Recorder
from tests.builders import AT, process, snapshot
recorder = Recorder(Path(sys.argv[1]), clock=lambda: AT + second)
recorder.start()
second = int(sys.argv[2])
while True:
    recorder.write(snapshot(taken_at=AT + second, processes=(process(),)))
    print(second, flush=True)
    second += 1
    if second % 50 == 0:
        recorder.tidy()
"""


def test_a_kill_while_it_writes_loses_nothing_that_was_written(path):
    last = -1
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(last + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            for _ in range(120):
                last = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                last = int(line)
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            [count] = database.execute("SELECT count(*) FROM point WHERE tier = 0").fetchone()
        # One more may have been written whose line was not printed any more.
        assert count - (last + 1) in (0, 1)


_ON_A_FULL_DISK = """
import resource, signal, sys, time
from pathlib import Path
from gpudoctor.history.recorder import Recorder
from tests.builders import AT, process, snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
recorder = Recorder(Path(sys.argv[1]), clock=lambda: AT)
recorder.start()
for second in range(3000):
    rows = tuple(process(pid) for pid in range(second * 5, second * 5 + 5))
    recorder.add(snapshot(taken_at=AT + second, processes=rows))
    while recorder._waiting.qsize() > 10:
        time.sleep(0.001)
recorder.stop()
print(recorder.errors)
"""


def test_a_disk_that_is_full_costs_history_and_nothing_else(path):
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
    assert done.stderr.count("cannot be written") == 1
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    points = everything(path).gpus[0].points
    assert points[0].at == AT
    assert 10 < len(points) < 3000


FOUND = Note(AT + 1, "finding", "clocks.slow", "warning", "GPU 0: slow", gpus=(0,))
LEFT = Note(AT + 2, "orphan", "", "warning", "pid 100 holds 1 GiB", gpus=(0,), pid=100)
OTHER = Note(AT + 3, "orphan", "", "warning", "pid 7 is gone", ended=True, gpus=(1,), pid=7)
OF_ALL = Note(AT + 4, "finding", "driver.old", "error", "the driver: old")


def test_notes_are_written_with_the_next_sample_and_read_by_gpu_and_process(recorder, path):
    for note in (FOUND, LEFT, OTHER, OF_ALL):
        recorder.note(note)
    recorder.write(at(5, device(0), device(1), processes=(process(100), process(7, index=1))))
    assert everything(path).notes == (FOUND, LEFT, OTHER, OF_ALL)
    assert everything(path, gpu="1").notes == (OTHER,)
    assert everything(path, pid=100).notes == (FOUND, LEFT)
    assert everything(path, pid=7).notes == (OTHER,)
    assert everything(path, most=2).notes == (OTHER, OF_ALL)


def test_a_note_that_could_not_be_written_is_written_with_the_next_sample(recorder, path):
    recorder.note(FOUND)
    recorder._database.execute(
        "CREATE TEMP TRIGGER no BEFORE INSERT ON point BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.Error):
        recorder.write(at(1))
    assert everything(path).notes == ()
    recorder._database.execute("DROP TRIGGER no")
    recorder.write(at(2))
    recorder.write(at(3))
    assert everything(path).notes == (FOUND,)


def test_the_last_notes_are_written_at_the_end(path, clock):
    made = Recorder(path, clock=clock)
    made.start()
    made.note(FOUND)
    made.stop()
    assert everything(path).notes == (FOUND,)


def test_a_history_from_before_notes_is_read_and_then_added_to(recorder, path):
    recorder.write(at(0))
    recorder.stop()
    with sqlite3.connect(path) as database:
        database.executescript("DROP TABLE note; PRAGMA user_version = 1;")
    database.close()
    assert len(everything(path).gpus[0].points) == 1
    assert everything(path).notes == ()
    again = Recorder(path)
    again.start()
    again.note(FOUND)
    again.stop()
    assert everything(path).notes == (FOUND,)
    assert len(everything(path).gpus[0].points) == 1
