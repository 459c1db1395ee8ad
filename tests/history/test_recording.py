from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.recording import RecordingWriter
from gpudoctor.model.recording import read
from tests.builders import AT, device, process, snapshot


def written(path, *snapshots):
    writer = RecordingWriter(path, interval_s=1.0, started_at=AT)
    for one in snapshots:
        writer.add(one)
    writer.close()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_was_written_is_read_back_equal(tmp_path, name):
    first = snapshot(device(0), device(1), processes=(process(1), process(2, used=None)))
    second = replace(first, taken_at=AT + 1)
    written(tmp_path / name, first, second)
    assert read(tmp_path / name).snapshots == (first, second)


def test_a_cut_off_last_line_is_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    written(path, snapshot(), replace(snapshot(), taken_at=AT + 1))
    path.write_bytes(path.read_bytes()[:-30])
    assert read(path).snapshots == (snapshot(),)


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(GpuDoctorError, match="exists already"):
        RecordingWriter(path, interval_s=1.0, started_at=AT)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"hello\n",
        b"\x00\xff\xfe\n",
        b"{}\n",
        b'{"schema":"other/1","gpudoctor_version":"1","started_at":1,"interval_seconds":1}\n',
        b'{"schema":"gpudoctor.recording/1","gpudoctor_version":"1","started_at":1,"interval_seconds":1}\n',
        b'{"schema":"gpudoctor.recording/1","gpudoctor_version":"1","started_at":1,"interval_seconds":1}\n[]\n',
    ],
)
def test_garbage_is_an_error_that_names_the_file(tmp_path, garbage):
    path = tmp_path / "garbage.jsonl"
    path.write_bytes(garbage)
    with pytest.raises(GpuDoctorError) as caught:
        read(path)
    assert "garbage.jsonl" in caught.value.message


def test_a_file_that_is_not_compressed_as_its_name_says_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"not gzip at all")
    with pytest.raises(GpuDoctorError, match="cannot be read"):
        read(path)


def test_a_missing_recording_says_how_to_make_one(tmp_path):
    with pytest.raises(GpuDoctorError) as caught:
        read(tmp_path / "none")
    assert "gpudoctor record" in caught.value.hint


def test_snapshots_that_go_back_in_time_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    written(path, snapshot(), replace(snapshot(), taken_at=AT - 5))
    with pytest.raises(GpuDoctorError, match="older than the line before"):
        read(path)
