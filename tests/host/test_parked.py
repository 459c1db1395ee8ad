"""Records of parked processes: written whole, read with patience, and never taken for another's."""

from __future__ import annotations

import os
import subprocess
import sys

import platformdirs
import pytest

from gpudoctor.host import parked
from gpudoctor.host.proc_files import read_stat
from gpudoctor.model.parked import Parked, Share
from tests.reclaim.children import PROC


def record(pid: int | None = None, **changes) -> Parked:
    pid = os.getpid() if pid is None else pid
    stat = read_stat(PROC, pid)
    known = {
        "pid": pid,
        "start_ticks": stat.start_ticks if stat else 1,
        "boot_id": parked.boot_id(),
        "name": "python",
        "command": ("python", "train.py"),
        "gpus": (Share(0, "GPU-0", 1024),),
        "memory_used_bytes": 1024,
        "parked_at": 5.0,
    }
    return Parked(**(known | changes))


def test_what_is_written_is_read_again(tmp_path):
    made = record(confirmed=True)
    parked.write(made, tmp_path / "deep" / "down")
    assert parked.parked([tmp_path / "deep" / "down"]) == (made,)


def test_writing_again_replaces_and_leaves_no_scratch_file(tmp_path):
    parked.write(record(), tmp_path)
    parked.write(record(confirmed=True), tmp_path)
    assert [one.confirmed for one in parked.recorded([tmp_path])] == [True]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"pid": "x"}', b"null", b'{"pid": 1}']
)
def test_a_damaged_file_costs_only_its_own_record(tmp_path, garbage):
    parked.write(record(), tmp_path)
    (tmp_path / "0-damaged.json").write_bytes(garbage)
    assert [one.pid for one in parked.parked([tmp_path])] == [os.getpid()]


def test_a_folder_that_cannot_be_read_holds_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert parked.parked([tmp_path / "absent", tmp_path / "file"]) == ()


def test_a_folder_with_the_name_of_a_record_is_passed_over(tmp_path):
    (tmp_path / "1-1.json").mkdir()
    assert parked.recorded([tmp_path]) == ()


def test_a_process_that_ended_is_not_parked(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    parked.write(record(child.pid), tmp_path)
    assert len(parked.parked([tmp_path])) == 1
    child.communicate(b"\n")
    assert parked.parked([tmp_path]) == ()
    assert len(parked.recorded([tmp_path])) == 1
    parked.prune([tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_a_pid_with_another_start_time_is_not_the_parked_process():
    assert parked.lives(record())
    assert not parked.lives(record(start_ticks=1))


def test_a_record_of_another_boot_is_void():
    assert not parked.lives(record(boot_id="00000000-0000-0000-0000-000000000000"))


def test_a_record_is_forgotten_in_every_folder(tmp_path):
    for name in ("a", "b"):
        parked.write(record(), tmp_path / name)
    parked.forget(record(), [tmp_path / "a", tmp_path / "b", tmp_path / "absent"])
    assert parked.recorded([tmp_path / "a", tmp_path / "b"]) == ()


def test_the_folder_is_the_one_that_the_desktops_standard_names(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert parked.state_folder() == platformdirs.user_state_path("gpudoctor")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert parked.state_folder() == platformdirs.user_state_path("gpudoctor")


def test_root_notes_where_everybody_can_see_it(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert parked.state_folder() == parked.SHARED
    assert parked.folders() == (parked.SHARED / "parked",)


def test_what_root_notes_can_be_read_by_others_whatever_the_umask(monkeypatch, tmp_path):
    monkeypatch.setattr(parked, "SHARED", tmp_path / "gpudoctor")
    before = os.umask(0o077)
    try:
        file = parked.write(record(), tmp_path / "gpudoctor" / "parked")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    for folder in (file.parent, file.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o755
