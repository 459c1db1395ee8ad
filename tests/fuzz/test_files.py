"""Files that somebody may hand over: recordings, sessions, traces, histories."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.reader import read_history
from gpudoctor.history.recorder import Recorder
from gpudoctor.history.recording import RecordingWriter
from gpudoctor.model.codec import decode
from gpudoctor.model.recording import read
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.profile import trace as traces
from gpudoctor.profile.ranks import load_ranks
from gpudoctor.profile.session import read_session
from gpudoctor.profile.summary import load_profile
from gpudoctor.profile.trace import read_trace
from gpudoctor.render.profile import report
from gpudoctor.render.profile_files import write_reports
from gpudoctor.render.ranks import report as rank_report
from gpudoctor.render.text import console
from tests.builders import AT, device, process, snapshot
from tests.fuzz.settled import fuzz, json_values, mangled, nested, settled
from tests.profile import build

HOSTILE = "\x1b]0;owned\x07\x9b31m\r\n</script><script>alert(1)</script>'\"&[red]\udcff"


def recording(path: Path) -> bytes:
    writer = RecordingWriter(path, interval_s=1.0, started_at=AT)
    first = snapshot(device(0), processes=(process(1, name=HOSTILE[:-1]), process(2, used=None)))
    for one in (first, replace(first, taken_at=AT + 1)):
        writer.add(one)
    writer.close()
    return path.read_bytes()


def test_recordings_are_read_or_refused(tmp_path):
    plain = recording(tmp_path / "a.jsonl")

    @fuzz(150)
    @given(mangled(plain) | st.binary(max_size=80))
    def run(data):
        (tmp_path / "b.jsonl").write_bytes(data)
        found = settled(read, tmp_path / "b.jsonl")
        assert found is None or found.snapshots

    run()


def test_compressed_recordings_are_read_or_refused(tmp_path):
    packed = recording(tmp_path / "a.jsonl.gz")

    @fuzz(150)
    @given(mangled(packed) | st.binary(max_size=80))
    def run(data):
        (tmp_path / "b.jsonl.gz").write_bytes(data)
        found = settled(read, tmp_path / "b.jsonl.gz")
        assert found is None or found.snapshots

    run()


@fuzz(200)
@given(json_values.map(json.dumps) | st.text(max_size=30))
def test_json_of_any_shape_is_decoded_or_refused(text):
    for kind in (Snapshot, dict, int):
        settled(decode, text, kind, what="it")


def test_json_that_nests_without_end_is_refused(tmp_path):
    head, line = recording(tmp_path / "a.jsonl").splitlines(keepends=True)[:2]
    for data in (
        nested(200_000),
        b'{"driver":' * 100_000,
        line[:-2] + b',"x":' + nested(100_000) + b"}\n",
    ):
        assert settled(decode, data, Snapshot, what="it") is None
        (tmp_path / "b.jsonl").write_bytes(head + data + b"\n")
        assert settled(read, tmp_path / "b.jsonl") is None


WHOLE = st.sampled_from([0, -1, 1, 7, 2**31, 2**63 - 1, -(2**63)])
TIMES = st.sampled_from([0, -1, 1, 1e-300, 1e300, -1e300, 2.5, 253402300800, 10**25])
NUMBERS = WHOLE | TIMES | st.just(2**70)
TEXTS = st.sampled_from([HOSTILE[:-1], "", "main.py", "../..", "/dev/zero", "a\0b", "*" * 5000])
SITES = st.none() | st.tuples(TEXTS, st.none() | WHOLE).map(list)


def some(**fields):
    return st.lists(st.fixed_dictionaries(fields), max_size=2)


STEPS = st.fixed_dictionaries(
    {"count": WHOLE, "span_seconds": TIMES, "seconds": st.lists(TIMES, max_size=3)}
)
DEVICES = some(index=WHOLE, name=TEXTS, memory_peak_bytes=WHOLE, memory_total_bytes=WHOLE)
OPTIMIZERS = some(name=TEXTS, steps=WHOLE, seconds=TIMES, tensors=WHOLE, device=TEXTS, site=SITES)
LOADERS = some(
    batches=WHOLE,
    epochs=WHOLE,
    wait_seconds=TIMES,
    first_wait_seconds=TIMES,
    start_seconds=TIMES,
    site=SITES,
    num_workers=WHOLE,
    batch_size=WHOLE,
)
THREADS = some(
    pid=WHOLE,
    process=TEXTS,
    name=TEXTS,
    main=st.booleans(),
    seconds=TIMES,
    function=TEXTS,
    share=TIMES,
    site=SITES,
)
WINDOWS = st.fixed_dictionaries(
    {"state": st.sampled_from(["done", "done", "failed", "active", HOSTILE[:-1]])},
    optional={"trace": TEXTS | st.just("trace.json"), "error": TEXTS, "ended_at_ns": WHOLE},
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "pid": NUMBERS,
        "program": st.lists(TEXTS, max_size=2),
        "cwd": TEXTS,
        "python": st.fixed_dictionaries({"version": TEXTS, "executable": TEXTS}),
        "started_at": TIMES,
        "wall_seconds": TIMES,
        "held_up_seconds": TIMES,
        "main_cpu_seconds": TIMES,
        "cpu_wait_seconds": TIMES,
        "ended": st.fixed_dictionaries({"how": TEXTS, "code": WHOLE, "text": TEXTS, "site": SITES}),
        "torch": st.fixed_dictionaries(
            {"version": TEXTS, "error": TEXTS, "cuda_version": TEXTS, "devices": DEVICES}
        ),
        "steps": STEPS,
        "batches": STEPS,
        "forwards": STEPS,
        "window": WINDOWS,
        "memory": st.lists(st.tuples(TIMES, WHOLE).map(list), max_size=3),
        "optimizers": OPTIMIZERS,
        "loaders": LOADERS,
        "threads": THREADS,
        "notes": st.lists(TEXTS, max_size=2),
        "calls": st.lists(
            st.tuples(TEXTS, TEXTS, WHOLE, WHOLE, WHOLE, TIMES, TIMES).map(list), max_size=2
        ),
    },
)
NAMES = st.sampled_from(["aten::mm", "ProfilerStep#3", "Optimizer.step#SGD.step"])
KINDS = st.sampled_from(["cpu_op", "user_annotation", "kernel", "gpu_memcpy", "cuda_runtime"])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"ph": st.just("X"), "cat": KINDS, "name": TEXTS | NAMES},
        optional={
            "pid": WHOLE,
            "tid": WHOLE,
            "ts": TIMES,
            "dur": TIMES,
            "args": st.fixed_dictionaries({"External id": WHOLE}),
        },
    ),
    max_size=6,
)


def shown(profile, folder, capsys) -> str:
    console().print(*report(profile, folder), sep="\n")
    return capsys.readouterr().out


def test_a_session_of_hostile_values_is_reported_harmlessly_or_refused(tmp_path, capsys):
    @fuzz(60)
    @given(CHANGES, EVENTS, WHOLE)
    def run(changes, events, base):
        folder = build.session(tmp_path / "s", **changes)
        (folder / "trace.json").write_text(
            json.dumps({"baseTimeNanoseconds": base, "traceEvents": events})
        )
        profile = settled(load_profile, folder)
        if profile is None:
            return
        assert not {"\x1b", "\x9b", "\x07"} & set(shown(profile, folder, capsys))
        settled(write_reports, profile, folder)
        page = (folder / "report.html").read_text() if (folder / "report.html").exists() else ""
        assert "\x1b" not in page
        assert "<script>alert" not in page

    run()


def test_sessions_and_traces_of_any_bytes_are_read_or_refused(tmp_path):
    folder = build.session(tmp_path / "s")
    whole = (folder / "session.json").read_bytes()
    events = [build.event("aten::mm", 1.0, 2.0), build.event("k", 1.5, 1.0, "kernel", 7, 3)]
    path = build.trace(folder, events)
    plain = path.read_bytes()

    @fuzz(150)
    @given(mangled(whole), mangled(plain), mangled(gzip.compress(plain)))
    def run(session, text, packed):
        (folder / "session.json").write_bytes(session)
        settled(read_session, folder)
        path.write_bytes(text)
        settled(read_trace, path, 77)
        (folder / "t.json.gz").write_bytes(packed)
        settled(read_trace, folder / "t.json.gz", 77)

    run()


def test_a_trace_that_nests_or_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    path.write_bytes(b'{"traceEvents":[{"ph":"X","x":' + nested(200_000))
    assert settled(read_trace, path, 1) is None
    monkeypatch.setattr(traces, "MOST_BYTES", 1 << 20)
    bomb = tmp_path / "t.json.gz"
    bomb.write_bytes(gzip.compress(b" " * (1 << 24)))
    with pytest.raises(GpuDoctorError) as caught:
        read_trace(bomb, 1)
    assert "too big" in str(caught.value.cause)


@pytest.mark.parametrize("name", ["session.json", "trace.json", "trace.json.gz", "gpus.json"])
def test_a_pipe_in_the_place_of_a_session_s_file_is_not_waited_for(tmp_path, name):
    folder = build.session(tmp_path / "s", window={"state": "done", "trace": name})
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    begun = time.monotonic()
    settled(load_profile, folder)
    assert time.monotonic() - begun < 5


def test_reports_are_not_written_through_links_that_came_with_the_session(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    folder = build.session(tmp_path / "s")
    for name in ("report.html", "profile.json"):
        (folder / name).symlink_to(mine)
    write_reports(load_profile(folder), folder)
    assert mine.read_text() == "mine"
    assert "<html" in (folder / "report.html").read_text()


@pytest.mark.parametrize("world", [10**18, 2**63 - 1, -5])
def test_ranks_that_claim_an_endless_world_are_counted_quickly(tmp_path, world):
    build.session(tmp_path / "rank0")
    (tmp_path / "rank0" / "rank.json").write_text(json.dumps({"rank": 0, "world_size": world}))
    build.session(tmp_path / "rank99999999999999")
    found = settled(load_ranks, tmp_path)
    assert found is None or len(list(rank_report(found))) < 1000


def history(path: Path) -> bytes:
    recorder = Recorder(path)
    recorder.start()
    for number in range(30):
        recorder.add(snapshot(device(0), processes=(process(1),), taken_at=AT + number))
    recorder.stop()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


def test_a_damaged_history_is_read_or_refused(tmp_path):
    whole = history(tmp_path / "h.sqlite3")
    assert read_history(tmp_path / "h.sqlite3", since=AT - 60, until=AT + 60).gpus[0].points

    @fuzz(150)
    @given(mangled(whole) | st.binary(max_size=200))
    def run(data):
        (tmp_path / "b.sqlite3").write_bytes(data)
        settled(read_history, tmp_path / "b.sqlite3", since=AT - 60, until=AT + 60)

    run()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE process SET command = 'no json'",
        "UPDATE process SET command = '7'",
        "UPDATE process SET command = ?",
        "UPDATE process SET first_seen = 'x', started = 'y'",
        "UPDATE point SET memory_used = 'x'",
        "UPDATE point SET memory_used = 1e999",
        "UPDATE gpu SET uuid = x'ff00', name = 7",
        "UPDATE process SET name = x'ff'",
        "UPDATE process SET name = CAST(x'ff1b' AS TEXT)",
    ],
)
def test_a_history_with_values_of_other_kinds_is_read_or_refused(tmp_path, statement):
    history(tmp_path / "h.sqlite3")
    with sqlite3.connect(tmp_path / "h.sqlite3") as database:
        database.execute(statement, ("[" * 100_000,) if "?" in statement else ())
    for gpu in (None, "GPU-"):
        settled(read_history, tmp_path / "h.sqlite3", since=AT - 60, until=AT + 60, gpu=gpu)


def test_a_damaged_history_is_moved_aside_when_it_is_to_be_written(tmp_path):
    path = tmp_path / "h.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + os.urandom(5_000))
    recorder = Recorder(path)
    recorder.start()
    recorder.add(snapshot())
    recorder.stop()
    assert len(list(tmp_path.glob("*broken*"))) == 1
    assert read_history(path, since=AT - 60, until=AT + 60).gpus
