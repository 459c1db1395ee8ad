"""What is seen of a real process before it is parked."""

from __future__ import annotations

import os
import threading

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.reclaim.park_look import look
from tests.builders import device, process, snapshot
from tests.reclaim.fake_proc import FakeProc

SLEEP = "import time; print('ready'); time.sleep(60)"


def seen(pid: int):
    return look(pid, snapshot(device(0), device(1), processes=(process(pid, 1),)))


def test_a_process_is_seen_with_its_gpus_and_the_driver(children):
    subject = seen(children.python(SLEEP))
    assert [one.index for one in subject.devices] == [1]
    assert subject.driver == "580.95.05"
    assert subject.machine == os.uname().machine
    assert subject.process.state in "SR"
    assert subject.guard is None
    assert not subject.is_thread
    assert subject.headroom_bytes > 0


@pytest.mark.parametrize(("value", "ranks"), [("8", 8), ("1", 1), ("", None), ("many", None)])
def test_the_number_of_ranks_comes_from_its_environment(children, value, ranks):
    pid = children.python(SLEEP, env={**os.environ, "WORLD_SIZE": value})
    subject = seen(pid)
    assert subject.environment_read
    assert subject.ranks == ranks


def test_a_thread_is_seen_as_such():
    go, number = threading.Event(), []
    thread = threading.Thread(
        target=lambda: (number.append(threading.get_native_id()), go.wait(20))
    )
    thread.start()
    try:
        while not number:
            pass
        assert seen(number[0]).is_thread
    finally:
        go.set()
        thread.join()


def test_we_ourselves_and_what_started_us_are_guarded():
    for pid in (os.getpid(), os.getppid()):
        assert seen(pid).guard.id in ("self", "init")


def test_another_users_process_is_guarded(children, monkeypatch):
    pid = children.python(SLEEP)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert seen(pid).guard.id == "owner"


def test_a_child_that_has_a_gpu_open_is_found_below_its_parent(tmp_path):
    """On a made-up /proc, because no test machine has the device files."""
    put = FakeProc(tmp_path)
    put(10, "python")
    put(11, "python", "/dev/nvidia0", parent=10)
    put(12, "python", "/dev/nvidia0", parent=11)
    put(13, "nvidia-cuda-mps")
    subject = look(10, snapshot(device(0)), tmp_path / "proc")
    assert subject.holders_below == (11, 12)
    assert subject.mps_server
    assert subject.row is None


def test_a_pid_that_does_not_exist_is_an_error():
    with pytest.raises(GpuDoctorError, match="has ended, and the driver lists it still"):
        seen(4_194_303)


def test_a_wait_for_the_disk_that_passes_is_no_obstacle(tmp_path):
    put = FakeProc(tmp_path)
    put(10, "python")
    stat = tmp_path / "proc" / "10" / "stat"
    asleep = stat.read_text()
    stat.write_text(asleep.replace(") S ", ") D "))
    calm = tmp_path / "calm"
    calm.write_text(asleep)
    timer = threading.Timer(0.3, calm.replace, [stat])
    timer.start()
    try:
        assert look(10, snapshot(device(0)), tmp_path / "proc").process.state == "S"
    finally:
        timer.join()


def test_a_wait_inside_the_kernel_that_lasts_is_told(tmp_path):
    put = FakeProc(tmp_path)
    put(10, "python")
    stat = tmp_path / "proc" / "10" / "stat"
    stat.write_text(stat.read_text().replace(") S ", ") D "))
    assert look(10, snapshot(device(0)), tmp_path / "proc").process.state == "D"
