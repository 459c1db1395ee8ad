from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import time

import pytest
from click.testing import CliRunner

from gpudoctor.cli.history import history
from gpudoctor.daemon import archive
from gpudoctor.daemon.archive import MOST_ROWS, Archive, parse_question
from gpudoctor.daemon.http import Request
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.routes import Routes
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.reader import read_history
from gpudoctor.history.recorder import Recorder
from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import PowerReading
from gpudoctor.model.snapshot import GpuEvent
from tests.builders import AT, GIB, device, process, snapshot, uuid_of
from tests.daemon.test_client import served


def ask(answer, path, query="", **headers):
    async def asked():
        told = answer(Request("GET", path, query, headers))
        return await told if inspect.isawaitable(told) else told

    return asyncio.run(asked())


@pytest.fixture
def recorded(tmp_path):
    """Two GPUs over 200 s, with an Xid and two processes."""
    path = tmp_path / "history.sqlite3"
    recorder = Recorder(path, clock=lambda: AT + 200)
    recorder.start()
    for second in range(200):
        event = GpuEvent(AT + 100, uuid_of(1), "xid", 79)
        uses = [GpuUse(0, uuid_of(0), "compute", 3 * GIB)]
        rows = (process(11, gpus=uses), process(12, gpus=uses)) if second < 50 else ()
        recorder.write(
            snapshot(
                device(index=0, power=PowerReading(usage_watts=float(second))),
                device(index=1),
                taken_at=AT + second,
                processes=rows,
                events=(event,) if second == 100 else (),
            )
        )
    recorder.stop()
    return path


@pytest.mark.parametrize("listens", [True, False])
def test_who_may_not_read_the_file_is_told_by_the_daemon(recorded, tmp_path, monkeypatch, listens):
    # Root may read everything, so the right is taken away here: once, as the daemon comes second.
    rights = iter([False])
    monkeypatch.setattr("gpudoctor.history.database.os.access", lambda *_: next(rights, True))
    monkeypatch.setattr("gpudoctor.cli.history.found", lambda: recorded)
    socket = tmp_path / "socket"
    monkeypatch.setenv("GPUDOCTOR_SOCKET", str(socket))
    words = ("--since", str(AT - 5), "--until", str(AT + 500), "--gpu", "1", "--json")
    if not listens:
        refused = CliRunner().invoke(history, words).exception
        assert isinstance(refused, GpuDoctorError)
        assert refused.cause == "Permission denied"
        return
    with served(socket, Routes(Ledger(interval_s=1), recorded)):
        done = CliRunner().invoke(history, words)
        rights = iter([False])
        unknown = CliRunner().invoke(history, ("--gpu", "77")).exception
    assert isinstance(unknown, GpuDoctorError)
    assert unknown.message == "the history knows no GPU 77"
    assert done.stderr == f"Told by the daemon at {socket}.\n"
    told = json.loads(done.stdout)
    assert [gpu["index"] for gpu in told["gpus"]] == [1]
    assert [event["code"] for event in told["events"]] == [79]


SPAN = f"since={AT - 5}&until={AT + 500}"


def test_history_is_told_of_one_gpu(recorded):
    answer = ask(Routes(Ledger(interval_s=1), recorded), "/api/v1/history", f"{SPAN}&gpu=1")
    told = json.loads(answer.body)
    assert answer.content_type == "application/json"
    assert told["schema"] == "gpudoctor.history/1"
    assert [gpu["index"] for gpu in told["gpus"]] == [1]
    assert len(told["gpus"][0]["points"]) == 200
    assert [event["code"] for event in told["events"]] == [79]
    assert told["processes"] == []


def test_history_of_a_process_has_its_gpu_only(recorded):
    told = json.loads(ask(Archive(recorded), "/api/v1/history", f"{SPAN}&pid=12").body)
    assert [row["pid"] for row in told["processes"]] == [12]
    assert [gpu["index"] for gpu in told["gpus"]] == [0]


def test_events_are_told_alone_and_packed_on_request(recorded):
    answer = ask(Archive(recorded), "/api/v1/events", SPAN, **{"accept-encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    told = json.loads(gzip.decompress(answer.body))
    assert told["schema"] == "gpudoctor.events/1"
    assert [event["code"] for event in told["events"]] == [79]
    assert "gpus" not in told


def test_an_answer_is_bounded_by_longer_steps_and_the_latest_rows(recorded):
    told = read_history(recorded, since=AT - 5, until=AT + 500, most=40)
    whole = read_history(recorded, since=AT - 5, until=AT + 500)
    first = told.gpus[0]
    assert first.step_seconds == 10
    assert len(first.points) == 20
    assert sum(point.power_watts for point in first.points) / 20 == pytest.approx(
        sum(point.power_watts for point in whole.gpus[0].points) / 200, rel=0.05
    )
    one = read_history(recorded, since=AT - 5, until=AT + 500, most=1)
    assert len(one.processes) == 1
    assert len(one.events) == 1
    assert all(len(gpu.points) <= 2 for gpu in one.gpus)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sinc=1h", "unknown: 'sinc'"),
        ("since=yesterday", "'yesterday' is no moment"),
        ("since=1h&since=2h", "since is given twice"),
        ("since=1h&until=2h", "since must lie before until"),
        ("pid=-1", "'-1' is no pid"),
        ("pid=99999999999999999999", "is no pid"),
        ("since=9999999999d", "is no moment"),
        ("&".join(["gpu=1"] * 20), "fields"),
    ],
)
def test_a_question_that_makes_no_sense_is_400(recorded, query, told):
    answer = ask(Archive(recorded), "/api/v1/history", query)
    assert answer.status == 400
    assert told in answer.body.decode()


def test_what_is_not_there_is_404(recorded, tmp_path):
    assert ask(Archive(recorded), "/api/v1/history", f"{SPAN}&gpu=7").status == 404
    answer = ask(Archive(None), "/api/v1/history")
    assert (answer.status, answer.body) == (404, b"no history is recorded\n")
    assert ask(Archive(tmp_path / "gone"), "/api/v1/history").status == 503


def test_the_last_hour_is_asked_for_where_no_time_is_named():
    question = parse_question("")
    assert question.until - question.since == pytest.approx(3600, abs=2)
    assert question.until == pytest.approx(time.time(), abs=2)


def test_of_many_who_ask_at_once_the_last_are_sent_away(recorded):
    asked = archive._WAITING + 5

    async def flood():
        answer = Archive(recorded)
        request = Request("GET", "/api/v1/history", SPAN, {})
        return await asyncio.gather(*(answer(request) for _ in range(asked)))

    statuses = [int(answer.status) for answer in asyncio.run(flood())]
    assert statuses.count(200) == archive._WAITING
    assert statuses.count(503) == 5


def test_processes_of_the_latest_sample_are_told():
    ledger = Ledger(interval_s=1)
    routes = Routes(ledger)
    assert ask(routes, "/api/v1/processes").status == 503
    ledger.add(snapshot(device(), processes=(process(4711, user="ana"),)))
    told = json.loads(ask(routes, "/api/v1/processes").body)
    assert told["schema"] == "gpudoctor.processes/1"
    assert [(row["pid"], row["user"]) for row in told["processes"]] == [(4711, "ana")]


def test_a_month_of_a_machine_is_answered_within_bounds(tmp_path):
    """Eight GPUs for a month: some 350,000 points on the disk."""
    path = tmp_path / "history.sqlite3"
    recorder = Recorder(path, clock=lambda: AT)
    recorder.start()
    recorder.write(snapshot(*(device(index=index) for index in range(8)), taken_at=AT))
    rows = (
        (2, gpu, int(AT - 60 * minute) * 1000, 1.0, 0.5, None, GIB, 300.0, 60.0, 1e9, 0.0)
        for gpu in range(1, 9)
        for minute in range(1, 30 * 24 * 60)
    )
    recorder._database.executemany(f"INSERT INTO point VALUES ({','.join('?' * 11)})", rows)
    recorder._database.commit()
    recorder.stop()
    begun = time.monotonic()
    answer = ask(Archive(path), "/api/v1/history", f"since={AT - 31 * 86400}&until={AT + 60}")
    assert time.monotonic() - begun < 10
    told = json.loads(answer.body)
    assert 0.8 * MOST_ROWS < sum(len(gpu["points"]) for gpu in told["gpus"]) <= MOST_ROWS + 8
    assert len(answer.body) < 3e6
