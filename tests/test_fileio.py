"""A file is replaced whole or not at all, and nothing is left beside it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from gpudoctor.fileio import replace_file


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def rights(path):
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_new_file_has_the_rights_that_were_asked_for(tmp_path, umask, mode):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o777)
    replace_file(path, b"new", mode=mode)
    assert path.read_bytes() == b"new"
    assert rights(path) == mode
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_word_on_rights_they_are_the_umasks(tmp_path, umask):
    replace_file(tmp_path / "file", b"new", sync=True)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert rights(tmp_path / "file") == 0o640


def test_who_has_the_old_file_open_goes_on_reading_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        replace_file(path, b"new")
        assert reader.read() == "old"


def test_a_link_in_the_place_of_the_file_is_replaced_and_what_it_led_to_is_left(tmp_path):
    target = tmp_path / "target"
    target.write_text("theirs")
    path = tmp_path / "file"
    path.symlink_to(target)
    replace_file(path, b"ours")
    assert target.read_text() == "theirs"
    assert not path.is_symlink()
    assert path.read_bytes() == b"ours"


@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_planted_under_the_scratchs_name_is_not_followed(tmp_path, monkeypatch, dangling):
    monkeypatch.setattr(os, "urandom", bytes)
    target = tmp_path / "target"
    if not dangling:
        target.write_text("theirs")
    planted = tmp_path / f".gpudoctor-{'00' * 8}.part"
    planted.symlink_to(target)
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileExistsError):
        replace_file(path, b"new")
    assert path.read_text() == "old"
    assert planted.is_symlink()
    assert not target.exists() if dangling else target.read_text() == "theirs"


def test_a_folder_in_the_place_of_the_file_stays_and_no_scratch_is_left(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "file", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").is_dir()


def test_a_name_as_long_as_the_file_system_takes_can_be_replaced(tmp_path):
    path = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_disk_that_takes_half_leaves_the_old_file_and_no_scratch(tmp_path):
    (tmp_path / "file").write_text("old")
    code = "import pathlib, sys; from gpudoctor.fileio import replace_file\n"
    code += "replace_file(pathlib.Path(sys.argv[1]), bytes(100_000), mode=0o644)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        preexec_fn=_little_room,
    )
    assert "File too large" in done.stderr
    assert (tmp_path / "file").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def _little_room():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
