from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpudoctor.config import NotifySettings
from gpudoctor.daemon import notify
from gpudoctor.daemon.changes import Change, Kind, event, silent
from gpudoctor.daemon.hooks import Command, Webhook, alert, targets
from gpudoctor.daemon.journal import Journal
from gpudoctor.daemon.notify import Courier, Notifier, NotTakenError
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.finding import Severity
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from tests.builders import AT, device, snapshot, uuid_of
from tests.cli.serving import serving
from tests.daemon import alertmanager


def change(number=0, severity=Severity.ERROR, **more):
    return Change(AT, Kind.GPU, severity, (("gpu", str(number)),), f"GPU {number} is lost", **more)


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class Listed:
    """A target that keeps what it is told, after it has refused as often as it shall."""

    name = "listed"

    def __init__(self, refusals=(), repeat_s=None) -> None:
        self.told = []
        self.refusals = list(refusals)
        self.repeat_s = repeat_s

    def deliver(self, changes):
        if self.refusals:
            raise NotTakenError("not now", again=self.refusals.pop(0))
        self.told.append(list(changes))


@contextmanager
def courier(target, **more):
    made = Courier(target, **{"gather_s": 0.05, "retries_s": (0.02, 0.02), **more})
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_what_comes_together_is_told_together_and_in_order():
    target = Listed()
    with courier(target) as made:
        for number in range(3):
            made.add(change(number))
        until(lambda: made.counts.sent == 3)
    assert [one.labels[0][1] for one in target.told[0]] == ["0", "1", "2"]


def test_what_is_refused_is_told_again_and_lost_at_last():
    target = Listed([True, True])
    with courier(target) as made:
        made.add(change(1))
        until(lambda: made.counts.sent == 1)
        target.refusals = [True] * 3
        made.add(change(2))
        until(lambda: made.counts.lost == 1)
        target.refusals = [False]
        made.add(change(3))
        until(lambda: made.counts.lost == 2)
    assert [[one.labels[0][1] for one in told] for told in target.told] == [["1"]]


def test_a_target_that_hangs_holds_up_nobody_and_costs_the_oldest():
    go = threading.Event()

    class Hangs(Listed):
        def deliver(self, changes):
            go.wait(10)
            super().deliver(changes)

    target = Hangs()
    with courier(target) as made:
        made.add(change(0))
        time.sleep(0.2)
        begun = time.monotonic()
        for number in range(1, notify.MOST_WAITING + 11):
            made.add(change(number))
        assert time.monotonic() - begun < 0.5
        assert made.counts.lost == 10
        go.set()
        until(lambda: made.counts.sent == notify.MOST_WAITING + 1)
    # The first was on its way already, those right after it are lost.
    assert [one.labels[0][1] for told in target.told for one in told][:2] == ["0", "11"]
    assert max(map(len, target.told)) <= notify.MOST_AT_ONCE


def test_what_is_less_severe_than_asked_is_not_told():
    target = Listed()
    with courier(target, least=Severity.ERROR) as made:
        made.add(change(1, Severity.WARNING))
        made.add(change(2, Severity.ERROR))
        until(lambda: target.told)
    assert [one.labels[0][1] for one in target.told[0]] == ["2"]


def test_what_lasts_is_repeated_until_it_ends_where_the_target_needs_it():
    target = Listed(repeat_s=0.1)
    with courier(target) as made:
        made.add(change(1))
        made.add(event(GpuEvent(AT, uuid_of(0), "xid", 79), 0))
        until(lambda: len(target.told) >= 3)
        assert [len(told) for told in target.told[:3]] == [2, 1, 1]
        made.add(change(1, ended=True))
        until(lambda: target.told[-1][-1].ended)
        seen = len(target.told)
        time.sleep(0.3)
        assert len(target.told) == seen
        assert made.counts.sent == 3


def test_new_targets_begin_with_what_lasts(monkeypatch):
    monkeypatch.setattr(notify, "GATHER_S", 0.02)
    notifier, first, second = Notifier(), Listed(), Listed()
    notifier.use([first], Severity.WARNING)
    notifier.add(change(1))
    notifier.add(change(2))
    notifier.add(change(2, ended=True))
    until(lambda: notifier.counts()["listed", "sent"] == 3)
    notifier.use([second], Severity.WARNING)
    until(lambda: second.told)
    assert [one.labels[0][1] for one in second.told[0]] == ["1"]
    until(lambda: notifier.counts() == {("listed", "sent"): 4, ("listed", "lost"): 0})
    notifier.stop()
    assert notifier.counts() == {}


def test_the_journal_tells_a_gpu_that_falls_silent_and_when_that_began():
    told = []
    journal = Journal([told.append])
    lost = device(0, state=DeviceState.LOST, error="GPU is lost")
    journal.add(snapshot(lost, taken_at=AT))
    journal.add(snapshot(lost, taken_at=AT + 5))
    journal.add(snapshot(device(0), taken_at=AT + 10))
    assert [(one.kind, one.ended, one.begun) for one in told] == [
        (Kind.GPU, False, None),
        (Kind.GPU, True, AT),
    ]
    assert told[0].key == told[1].key


def test_an_alert_says_what_alertmanagers_say():
    made = alert(event(GpuEvent(AT, uuid_of(3), "xid", 79), 3), "node", ends=False)
    assert made["status"] == "firing"
    assert made["labels"] == {
        "alertname": "GpuDoctorGpuEvent",
        "instance": "node",
        "severity": "critical",
        "gpu": "3",
        "uuid": uuid_of(3),
        "event": "xid",
        "code": "79",
    }
    assert made["annotations"]["summary"] == "GPU 3: Xid 79, GPU has fallen off the bus"
    assert made["annotations"]["description"]
    assert made["startsAt"].startswith("2026-09-21T")
    assert made["endsAt"].startswith("0001-")
    over = alert(change(ended=True, begun=AT - 60), "node", ends=False)
    assert over["status"] == "resolved"
    assert over["startsAt"] < over["endsAt"]


class Receiver(ThreadingHTTPServer):
    """Takes what is posted; answers with `statuses` in turn, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[dict, dict]] = []
        self.statuses: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.bodies.append((dict(self.headers), body))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.url)
        self.end_headers()

    def do_GET(self):
        self.server.bodies.append((dict(self.headers), {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_alertmanagers_message_with_the_token(receiver, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    settings = NotifySettings(url=receiver.url, token_file=str(tmp_path / "token"))
    Webhook(settings, "node").deliver([change(1), change(2)])
    [(head, body)] = receiver.bodies
    assert head["Authorization"] == "Bearer s3cret"
    assert body["version"] == "4"
    assert body["status"] == "firing"
    assert body["commonLabels"] == {
        "alertname": "GpuDoctorGpuSilent",
        "instance": "node",
        "severity": "critical",
    }
    assert [one["labels"]["gpu"] for one in body["alerts"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (429, True), (404, False), (302, False)]
)
def test_an_answer_says_whether_to_try_again_and_no_redirection_is_followed(
    receiver, status, again
):
    receiver.statuses = [status]
    with pytest.raises(NotTakenError) as caught:
        Webhook(NotifySettings(url=receiver.url), "node").deliver([change()])
    assert caught.value.again is again
    assert receiver.bodies == []


def test_nobody_at_the_url_is_tried_again(receiver):
    with pytest.raises(NotTakenError) as caught:
        Webhook(NotifySettings(url="http://127.0.0.1:1/"), "node").deliver([change()])
    assert caught.value.again


def test_a_command_gets_the_message_on_its_input(tmp_path):
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    Command([sys.executable, "-c", code, "; touch never"], "node").deliver([change(5)])
    assert json.loads(out.read_text())["alerts"][0]["labels"]["gpu"] == "5"


def test_a_command_that_fails_is_not_run_again():
    for words in (["/no/such/command"], [sys.executable, "-c", "raise SystemExit('no paper')"]):
        with pytest.raises(NotTakenError) as caught:
            Command(words, "node").deliver([change()])
        assert not caught.value.again
    assert "no paper" in str(caught.value)


def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path):
    with pytest.raises(GpuDoctorError, match="token"):
        targets(NotifySettings(url="http://h/", token_file=str(tmp_path / "none")), "node")
    with pytest.raises(GpuDoctorError, match="cannot be used"):
        targets(NotifySettings(url="https://h/", ca_file=str(tmp_path / "none")), "node")
    assert targets(NotifySettings(), "node") == []


@pytest.mark.integration
def test_the_daemon_tells_findings_and_takes_another_url_on_sighup(receiver, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f'[notify]\nurl = "{receiver.url}"\n')
    with serving("--interval", "0.2", root=("--demo", "--config", str(config))) as daemon:
        until(lambda: receiver.bodies, 20)
        names = {
            one["labels"]["alertname"] for _, body in receiver.bodies for one in body["alerts"]
        }
        assert names <= {f"GpuDoctor{kind}" for kind in Kind}
        daemon.wait_for('gpudoctor_notifications_total{target="webhook",outcome="lost"} 0')
        config.write_text("[notify]\nleast_severity = 'info'\n")
        daemon.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while "gpudoctor_notifications_total{" in daemon.get("metrics"):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert daemon.end()[0] == 0


@pytest.mark.integration
@pytest.mark.skipif(alertmanager.PROGRAM is None, reason="alertmanager is not installed")
def test_a_real_alertmanager_takes_alerts_and_their_end(tmp_path):
    with alertmanager.running(tmp_path) as taking:
        settings = NotifySettings(url=f"{taking.url}api/v2/alerts", format="alertmanager")
        hook = Webhook(settings, "node")
        at = time.time() - 5
        lost = silent(device(4, state=DeviceState.LOST, error="gone"), at)
        hook.deliver([lost, event(GpuEvent(at, uuid_of(4), "xid", 79), 4)])
        found = taking.alerts()
        assert set(found) == {"GpuDoctorGpuSilent", "GpuDoctorGpuEvent"}
        assert found["GpuDoctorGpuSilent"]["annotations"]["summary"].endswith("is lost: gone")
        hook.deliver([silent(device(4), at + 1, ended=True)])
        until(lambda: set(taking.alerts()) == {"GpuDoctorGpuEvent"})
