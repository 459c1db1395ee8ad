"""The copy of the working folder."""

import pytest

from gpudoctor.bench import folders
from gpudoctor.errors import GpuDoctorError


def test_a_copy_is_fresh_and_keeps_large_folders_as_links(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "sub").mkdir(parents=True)
    (here / ".git").mkdir()
    (here / "sub" / "file").write_text("a")
    folders.copy(here, there)
    (there / "sub" / "file").write_text("changed")
    (there / "left").write_text("from the run before")
    folders.copy(here, there)
    assert (there / "sub" / "file").read_text() == "a"
    assert not (there / "left").exists()
    assert (there / ".git").is_symlink()
    assert (here / "sub" / "file").read_text() == "a"


def test_a_folder_that_is_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x" * 100)
    folders.check(tmp_path)
    monkeypatch.setattr(folders, "_MOST_BYTES", 50)
    with pytest.raises(GpuDoctorError, match="too large"):
        folders.check(tmp_path)
