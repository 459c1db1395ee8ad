"""The client of the daemon's socket: against the real server, and against liars."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor import __version__
from gpudoctor.daemon import client as client_module
from gpudoctor.daemon.client import Client, NoAnswerError, NotForUsError
from gpudoctor.daemon.http import HttpServer
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.listen import Address, bind
from gpudoctor.daemon.ours import PROC, as_we_see
from gpudoctor.daemon.pace import Pace, parse_pace
from gpudoctor.daemon.place import SYSTEM, own_place, places
from gpudoctor.daemon.routes import Routes
from gpudoctor.host.proc_files import TICKS_PER_SECOND, boot_time, read_stat
from gpudoctor.model.check import CheckReport
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.finding import Finding, Fix, Severity
from gpudoctor.render.metrics.view import Inspection
from tests.builders import device, process, snapshot
from tests.fuzz.settled import fuzz, mangled


@contextlib.contextmanager
def served(path, answer):
    """The daemon's own server on a UNIX socket."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = bind(Address(path=path))
    server = HttpServer(answer)

    def wait(what):
        asyncio.run_coroutine_threadsafe(what, loop).result(5)

    wait(server.listen(listening))
    try:
        yield
    finally:
        wait(server.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        listening.close()


@contextlib.contextmanager
def saying(path, *parts, pause_s=0.0):
    """A program that answers whatever it is asked with `parts`."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(8)

    def run():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield Client(path, timeout_s=0.4)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        path.unlink()


def answer(body, status=b"200 OK", version=__version__):
    head = b"HTTP/1.1 " + status + b"\r\nGpudoctor-Version: " + version.encode()
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def body_of(seen, fresh=True, schema="gpudoctor.snapshot/1"):
    return envelope(schema, {"fresh": fresh, "snapshot": to_builtins(seen)})


def now(**changes):
    return snapshot(monotonic=time.monotonic(), **changes)


def now_with(*devices):
    return snapshot(*devices, monotonic=time.monotonic())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


def refused(client, **more):
    with pytest.raises(NoAnswerError) as told:
        client.snapshot(oldest_s=8, **more)
    return str(told.value)


def test_the_daemons_own_answer_is_taken_whole(path):
    ledger, pace = Ledger(interval_s=5), Pace(5)
    seen = snapshot(device(0), device(1), processes=(process(7),), monotonic=time.monotonic())
    ledger.add(seen)
    with served(path, Routes(ledger, pace=pace)):
        assert Client(path).snapshot(oldest_s=8) == seen
        assert pace.now() == 5
        assert Client(path).snapshot(oldest_s=8, pace_s=0.5) == seen
        assert pace.now() == 1.0


def test_a_daemon_without_a_sample_or_without_history_is_not_used(path):
    with served(path, Routes(Ledger(interval_s=5))):
        assert refused(Client(path)) == "it answered 503"
        with pytest.raises(NoAnswerError, match="no history is recorded"):
            Client(path).history(0, time.time())


def test_what_the_checks_found_is_told_with_its_time(path):
    ledger = Ledger(interval_s=5)
    ledger.add(now())
    with served(path, Routes(ledger)):
        with pytest.raises(NoAnswerError, match="it answered 503"):
            Client(path).findings()
        found = Finding("ecc.x", Severity.ERROR, "GPU 1", "3 errors", ("seen",), Fix("reset it"))
        report = CheckReport((found,), (), 0.1)
        ledger.add_inspection(Inspection(1_000_000.5, 0.1, (), report))
        told = Client(path).findings()
    assert told.findings == (found,)
    assert told.generated_at.timestamp() == 1_000_000.5


def test_findings_of_another_schema_are_not_taken(path):
    other = envelope("gpudoctor.check/2", {"findings": []})
    for body, why in ((other, "check/2"), (b"{}", "not understood")):
        with saying(path, answer(body)) as client, pytest.raises(NoAnswerError, match=why):
            client.findings()


def test_a_socket_that_nobody_listens_at_is_passed_over_in_silence(path):
    with pytest.raises(NotForUsError):
        Client(path).snapshot(oldest_s=8)
    listening = bind(Address(path=path))
    listening.close()
    with pytest.raises(NotForUsError):
        Client(path).snapshot(oldest_s=8)


WRONG = {
    "old": (lambda: body_of(snapshot(monotonic=time.monotonic() - 60)), "60 s old"),
    "of the future": (lambda: body_of(snapshot(monotonic=time.monotonic() + 1e6)), "s old"),
    "not fresh": (lambda: body_of(now(), fresh=False), "has not sampled"),
    "of another schema": (lambda: body_of(now(), schema="gpudoctor.snapshot/2"), "has not sampled"),
    "made up": (lambda: body_of(now(source="demo")), "made up"),
    "a GPU twice": (lambda: body_of(now_with(device(0), device(0))), "GPUs makes no sense"),
    "a pid twice": (
        lambda: body_of(now(processes=(process(7), process(7)))),
        "processes makes no sense",
    ),
    "no pid": (lambda: body_of(now(processes=(process(0),))), "processes makes no sense"),
    "of another shape": (lambda: b"{}", "not understood"),
    "empty": (lambda: b"", "not understood"),
    "deep": (lambda: b"[" * 100_000, "not understood"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_old_made_up_or_makes_no_sense_is_not_used(path, kind):
    make, why = WRONG[kind]
    with saying(path, answer(make())) as client:
        assert why in refused(client)


def test_another_version_is_not_used(path):
    with saying(path, answer(body_of(now()), version="0.0.1")) as client:
        assert refused(client) == f"it is gpudoctor 0.0.1, and this is {__version__}"


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 2000 + b"\r\n"]
)
def test_what_is_no_http_is_not_used(path, said):
    with saying(path, said) as client:
        assert refused(client) == "its answer is no HTTP"


def test_an_answer_that_is_cut_off_is_not_used(path):
    with saying(path, answer(body_of(now()))[:-1]) as client:
        assert refused(client) == "its answer was cut off"


def test_one_that_hangs_or_drips_costs_no_more_than_the_time_limit(path):
    for parts in ((b"",) * 10, (b"H",) * 10):
        begun = time.monotonic()
        with saying(path, *parts, pause_s=0.1) as client:
            assert "time" in refused(client)
        assert time.monotonic() - begun < 2


def test_an_answer_without_end_is_dropped(path, monkeypatch):
    monkeypatch.setattr(client_module, "_MOST_BYTES", 100_000)
    with saying(path, *(b"x" * 10_000,) * 1000) as client:
        assert refused(client) == "its answer does not end"


HONEST = answer(body_of(snapshot(monotonic=time.monotonic())))


@fuzz(150)
@given(mangled(HONEST) | st.binary(max_size=200).map(answer))
def test_whatever_is_said_is_a_snapshot_or_no_answer(tmp_path_factory, said):
    with saying(tmp_path_factory.mktemp("liar") / "s", said) as client:
        try:
            assert client.snapshot(oldest_s=1e9).source == "nvml"
        except NoAnswerError as error:
            assert str(error)


def test_another_users_program_is_not_believed(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(client_module, "struct", _Told(os.getpid(), 54321))
    with saying(path, answer(body_of(now()))) as client:
        assert refused(client) == "another user's program (uid 54321) listens there"


def test_a_program_whose_pids_mean_nothing_here_is_not_believed(path, monkeypatch):
    monkeypatch.setattr(client_module, "struct", _Told(0, 0))
    with saying(path, answer(body_of(now()))) as client:
        assert "container" in refused(client)


class _Told:
    """Stands for `struct`, as if the kernel had told another peer."""

    def __init__(self, pid, uid):
        self._told = (pid, uid, 0)

    def calcsize(self, _):
        return 12

    def unpack(self, *_):
        return self._told


def started(pid):
    return boot_time(PROC) + read_stat(PROC, pid).start_ticks / TICKS_PER_SECOND


def test_a_process_that_lives_stays_as_the_daemon_saw_it():
    seen = snapshot(processes=(process(os.getpid(), started=started(os.getpid())),))
    assert as_we_see(seen, current=True) == seen


def test_a_process_that_has_ended_since_makes_the_look_useless_to_one_who_wants_it_current():
    seen = snapshot(processes=(process(os.getpid(), started=started(os.getpid()) - 60),))
    assert as_we_see(seen) == seen
    with pytest.raises(NotForUsError, match="has ended since"):
        as_we_see(seen, current=True)


def test_what_proc_hides_from_this_user_is_masked(tmp_path):
    (tmp_path / "stat").write_text("btime 1\n")
    pid = os.getpid()
    [row] = as_we_see(snapshot(processes=(process(pid),)), root=tmp_path).processes
    assert (row.visible, row.user, row.command, row.started) == (False, None, (), None)
    assert row.memory_used_bytes == process(pid).memory_used_bytes


def test_a_daemon_that_sees_less_than_this_user_is_not_used():
    hidden = process(os.getpid(), started=None, visible=False)
    with pytest.raises(NoAnswerError, match="hidden from it"):
        as_we_see(snapshot(processes=(hidden,)))


def test_the_pace_is_quicker_only_while_somebody_asks():
    clock = [0.0]
    pace = Pace(5.0, clock=lambda: clock[0])
    assert pace.now() == 5.0
    pace.ask(2.0)
    pace.ask(3.0)
    assert pace.now() == 2.0
    pace.ask(0.1)
    assert pace.now() == 1.0
    clock[0] = 10.1
    assert pace.now() == 5.0
    pace.ask(3.0)
    assert pace.now() == 3.0
    pace.ask(60.0)
    clock[0] = 30.0
    pace.ask(60.0)
    assert pace.now() == 5.0


@pytest.mark.parametrize("query", ["pace=", "pace=x", "pace=nan", "pace=0", "pace=1&pace=2", "x=1"])
def test_a_pace_that_makes_no_sense_is_refused(query):
    with pytest.raises(ValueError, match="pace"):
        parse_pace(query)
    assert parse_pace("") is None
    assert parse_pace("pace=1.5") == 1.5


def test_the_socket_lies_where_the_system_or_the_user_has_its_folder(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    user = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    mine = SYSTEM.parent.parent / "user/1000/gpudoctor/gpudoctor.sock"
    assert own_place(user) == mine
    assert places(user) == (mine, SYSTEM)
    assert own_place({}) is None
    assert places({}) == (SYSTEM,)
    assert own_place({"RUNTIME_DIRECTORY": "/run/gpudoctor:/run/x"}) == SYSTEM
    assert own_place(user | {"GPUDOCTOR_SOCKET": "off"}) is None
    assert places(user | {"GPUDOCTOR_SOCKET": ""}) == ()
    assert [str(one) for one in places({"GPUDOCTOR_SOCKET": "/x"})] == ["/x"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert own_place(user) == SYSTEM
