from __future__ import annotations

import os
import time

import pytest

from gpudoctor.daemon.kernel_xids import KernelXids
from gpudoctor.model.snapshot import GpuEvent
from tests.builders import device, snapshot, uuid_of

LINE = "NVRM: Xid (PCI:0000:02:00): 79, pid=1234, name=python, GPU has fallen off the bus."
NOW = 1_790_000_500.0


class Clock:
    now = NOW

    def __call__(self):
        return self.now


class Watched:
    """A log that lines are added to, and what was told of it."""

    def __init__(self, path):
        self.clock = Clock()
        self.told: list[GpuEvent] = []
        self.path = path
        path.write_text("3,1,5,-;NVRM: Xid (PCI:0000:02:00): 31, from before the start\n")
        self.watch = KernelXids(self.told.append, path, self.clock)
        assert self.watch.start()

    def log(self, line=LINE, ago=0.0):
        since_boot = int((time.monotonic() - ago) * 1e6)
        with self.path.open("a") as file:
            file.write(f"3,7,{since_boot},-;{line}\n")

    def sample(self, *events, after=1.0):
        self.clock.now += after
        self.watch.add(snapshot(device(0), device(1), events=events))

    def samples(self, *events, count=6):
        for _ in range(count):
            self.sample(*events)


@pytest.fixture
def watched(tmp_path):
    made = Watched(tmp_path / "kmsg")
    yield made
    made.watch.stop()


def xid(code=79, at=NOW + 1, index=1):
    return GpuEvent(at, uuid_of(index), "xid", code)


def test_an_xid_that_only_the_log_has_is_told_with_the_gpu_at_its_address(watched):
    watched.log()
    watched.samples()
    [event] = watched.told
    assert (event.uuid, event.kind, event.code) == (uuid_of(1), "xid", 79)
    assert event.at == pytest.approx(NOW + 1, abs=0.5)
    assert event.text == "kernel log: pid=1234, name=python, GPU has fallen off the bus."


def test_what_the_library_tells_too_is_not_told_again(watched):
    watched.log()
    watched.sample()
    watched.samples(xid())
    assert watched.told == []


def test_an_xid_that_comes_twice_and_is_told_once_by_the_library_is_told_once_more(watched):
    watched.log()
    watched.log()
    watched.sample()
    watched.samples(xid())
    assert len(watched.told) == 1


def test_another_code_or_another_gpu_is_another_xid(watched):
    watched.log()
    watched.samples(xid(code=31), xid(index=0))
    assert [event.code for event in watched.told] == [79]


def test_its_own_word_that_comes_back_with_the_samples_is_not_the_librarys(watched):
    watched.log()
    watched.samples()
    watched.log()
    watched.samples(*watched.told)
    assert len(watched.told) == 2


def test_what_was_logged_before_the_start_and_what_names_no_gpu_here_is_not_told(watched):
    watched.log("NVRM: Xid (PCI:0000:7f:00): 79, not ours")
    watched.log("usb 1-1: new device")
    watched.samples()
    assert watched.told == []


def test_a_log_that_may_not_be_read_is_left_alone(tmp_path):
    watch = KernelXids(lambda _: None, tmp_path / "missing")
    assert not watch.start()
    watch.add(snapshot())


def test_the_file_is_closed_at_the_end(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    made = Watched(tmp_path / "kmsg")
    made.watch.stop()
    made.watch.stop()
    assert len(os.listdir("/proc/self/fd")) == before
