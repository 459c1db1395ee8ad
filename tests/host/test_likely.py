"""Likely holders of memory that nobody owns up to, on a made-up /proc."""

from __future__ import annotations

import os

import msgspec
import pytest

from gpudoctor.host.likely import open_minors, with_holders
from gpudoctor.model.selection import Unlisted
from tests.builders import GIB, device, process, snapshot, uuid_of

GAP = Unlisted(0, uuid_of(0), 20 * GIB)


@pytest.fixture
def proc(tmp_path):
    def put(pid: int, *files: str, maps: str = "", name: str = "python") -> None:
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / "fd" / str(number)).symlink_to(file)
        (folder / "maps").write_text(maps)
        tail = "S 1 1 1 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 77 0 0"
        (folder / "stat").write_text(f"{pid} ({name}) {tail}")
        (folder / "cmdline").write_text("python\0left.py\0")

    put.root = tmp_path
    return put


def card(index: int = 0, minor: int | None = 0):
    made = device(index)
    return msgspec.structs.replace(
        made, facts=msgspec.structs.replace(made.facts, minor_number=minor)
    )


def pids(found) -> list[int]:
    return [one.pid for one in found[0].holders]


def test_who_has_the_gpu_open_and_is_not_listed_is_likely(proc):
    proc(10, "/dev/nvidia0", "/dev/nvidiactl")
    proc(11, "/dev/nvidia1")
    proc(12, "/dev/null")
    (found,) = with_holders([GAP], snapshot(card()), proc.root)
    assert [(one.pid, one.name, one.command) for one in found.holders] == [
        (10, "python", ("python", "left.py"))
    ]


def test_who_is_listed_on_that_gpu_is_not_suspected(proc):
    proc(10, "/dev/nvidia0")
    proc(11, "/dev/nvidia0", "/dev/nvidia1")
    seen = snapshot(card(), processes=(process(10, 0), process(11, 1)))
    assert pids(with_holders([GAP], seen, proc.root)) == [11]


def test_a_mapping_without_a_descriptor_counts(proc):
    row = "7f00-7f01 rw-s 00000000 00:06 12 /dev/nvidia0\n7f02-7f03 r--p 0 00:00 0\n"
    proc(10, maps=row)
    assert pids(with_holders([GAP], snapshot(card()), proc.root)) == [10]


def test_a_minor_number_is_compared_and_not_the_index(proc):
    proc(10, "/dev/nvidia0")
    proc(11, "/dev/nvidia3")
    assert pids(with_holders([GAP], snapshot(card(minor=3)), proc.root)) == [11]


def test_we_ourselves_are_not_suspected(proc):
    proc(os.getpid(), "/dev/nvidia0")
    assert open_minors(proc.root) == {}


def test_without_a_gap_nothing_is_read(tmp_path):
    assert with_holders([], snapshot(card()), tmp_path / "absent") == ()
