from __future__ import annotations

import pytest

from gpudoctor.runner.files import replace


def test_a_link_that_waits_under_the_scratchs_or_the_files_name_is_not_written_through(tmp_path):
    target = tmp_path / "target"
    target.write_text("theirs")
    for name in ("session.json.part", "session.json"):
        (tmp_path / name).symlink_to(target)
    replace(str(tmp_path / "session.json"), "ours")
    assert target.read_text() == "theirs"
    assert not (tmp_path / "session.json").is_symlink()
    assert (tmp_path / "session.json").read_text() == "ours"
    assert {one.name for one in tmp_path.iterdir()} == {"session.json", "target"}


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "session.json").mkdir()
    with pytest.raises(IsADirectoryError):
        replace(str(tmp_path / "session.json"), "ours")
    assert [one.name for one in tmp_path.iterdir()] == ["session.json"]


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path):
    replace(str(tmp_path / "session.json"), "\udcff")
    assert (tmp_path / "session.json").read_text() == "\\udcff"
