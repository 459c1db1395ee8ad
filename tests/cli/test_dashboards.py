from __future__ import annotations

import pytest
from click.testing import CliRunner

from gpudoctor.cli.dashboards import assets, dashboards
from gpudoctor.errors import GpuDoctorError


def test_everything_is_written_as_it_lies_in_the_repository(tmp_path):
    done = CliRunner().invoke(dashboards, ["--out", str(tmp_path / "new")])
    assert done.exit_code == 0
    written = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*.*")}
    assert written == {path.relative_to(assets()) for path in assets().rglob("*.*")}
    for path in written:
        assert (tmp_path / "new" / path).read_bytes() == (assets() / path).read_bytes()


def test_files_that_are_there_are_left_alone_without_force(tmp_path):
    (tmp_path / "README.md").write_text("precious")
    done = CliRunner().invoke(dashboards, ["--out", str(tmp_path)])
    assert isinstance(done.exception, GpuDoctorError)
    assert (tmp_path / "README.md").read_text() == "precious"
    assert not (tmp_path / "dashboards").exists()
    assert CliRunner().invoke(dashboards, ["--out", str(tmp_path), "--force"]).exit_code == 0
    assert (tmp_path / "README.md").read_text() != "precious"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(dashboards, ["--out", str(tmp_path / "file" / "below")])
    assert isinstance(done.exception, GpuDoctorError)
    with pytest.raises(GpuDoctorError, match="cannot be written"):
        raise done.exception


def test_a_folder_that_cannot_be_looked_at_is_told_like_one_that_cannot_be_written(tmp_path):
    done = CliRunner().invoke(dashboards, ["--out", str(tmp_path / ("long" * 100))])
    with pytest.raises(GpuDoctorError, match="cannot be written to") as told:
        raise done.exception
    assert told.value.cause == "File name too long"


def test_an_empty_name_does_not_mean_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(dashboards, ["--out", ""])
    assert isinstance(done.exception, GpuDoctorError)
    assert not list(tmp_path.iterdir())
    assert CliRunner().invoke(dashboards, ["--out", "."]).exit_code == 0
    assert (tmp_path / "README.md").exists()
