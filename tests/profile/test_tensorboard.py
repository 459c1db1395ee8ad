from __future__ import annotations

import json
import re

import pytest

from gpudoctor.profile.session import read_session
from gpudoctor.profile.tensorboard import forget_traces, place_trace
from gpudoctor.render.profile_files import write_reports
from tests.profile.build import event, profile, session, trace

# What the plugin takes for a worker's name, the time of its span, and its ending.
NAME = re.compile(r"^(.*?)(\.\d+)?\.pt\.trace\.json(?:\.gz)?$")
WINDOW = {"state": "done", "trace": "trace.json", "ended_at_ns": 1_700_000_000_123_456_789}


@pytest.fixture
def folder(tmp_path):
    session(tmp_path, window=WINDOW)
    trace(tmp_path, [event("aten::mm", 0, 5)])
    return tmp_path


def test_the_name_says_the_worker_and_when_in_milliseconds(folder):
    placed = place_trace(folder, read_session(folder), folder, "train.py on host_77")
    assert placed.parent == folder / "tensorboard"
    worker, span = NAME.match(placed.name).groups()
    assert (worker, span) == ("train_py_on_host_77", ".1700000000123")
    assert json.loads(placed.read_text())["traceEvents"][0]["name"] == "aten::mm"


def test_the_trace_is_not_kept_twice_where_a_link_can_be_made(folder):
    placed = place_trace(folder, read_session(folder), folder, "main")
    assert placed.stat().st_ino == (folder / "trace.json").stat().st_ino


def test_without_links_the_trace_is_copied(folder, monkeypatch):
    def refused(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    placed = place_trace(folder, read_session(folder), folder, "main")
    assert placed.read_bytes() == (folder / "trace.json").read_bytes()
    assert placed.stat().st_ino != (folder / "trace.json").stat().st_ino


def test_a_compressed_trace_keeps_its_ending(tmp_path):
    session(tmp_path, window={**WINDOW, "trace": "trace.json.gz"})
    (tmp_path / "trace.json.gz").write_bytes(b"\x1f\x8b")
    placed = place_trace(tmp_path, read_session(tmp_path), tmp_path, "main")
    assert placed.name.endswith(".pt.trace.json.gz")
    assert NAME.match(placed.name)


@pytest.mark.parametrize("window", [{"state": "waiting"}, {**WINDOW, "trace": "gone.json"}])
def test_without_a_trace_there_is_no_folder(window, tmp_path):
    session(tmp_path, window=window)
    assert place_trace(tmp_path, read_session(tmp_path), tmp_path, "main") is None
    assert not (tmp_path / "tensorboard").exists()


def test_a_link_in_the_folders_place_is_not_written_through(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "tensorboard").symlink_to(elsewhere)
    forget_traces(folder)
    place_trace(folder, read_session(folder), folder, "main")
    assert list(elsewhere.iterdir()) == []


def test_an_earlier_runs_trace_is_forgotten_and_other_files_are_not(folder):
    placed = place_trace(folder, read_session(folder), folder, "main")
    (folder / "tensorboard" / "mine.txt").write_text("")
    forget_traces(folder)
    assert not placed.exists()
    assert (folder / "trace.json").exists()
    assert (folder / "tensorboard" / "mine.txt").exists()


def test_the_reports_of_ranks_put_their_traces_side_by_side(tmp_path):
    for rank in (0, 1):
        one = tmp_path / f"rank{rank}"
        one.mkdir()
        session(one, window=WINDOW)
        trace(one, [])
        write_reports(profile(), one, rank)
    names = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert [NAME.match(name).group(1) for name in names] == ["rank_0", "rank_1"]
