"""What others send over the network: requests to the daemon, and answers of a Prometheus."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.routes import Routes
from gpudoctor.history.prometheus import Prometheus, read_fleet
from gpudoctor.present.fleet import total_text
from gpudoctor.render.fleet import ordered, table
from gpudoctor.render.text import console
from tests.builders import snapshot
from tests.daemon.test_http import Running
from tests.fuzz.settled import fuzz, json_values, mangled, settled
from tests.history.test_prometheus import Server

REQUEST = b"GET /metrics?a=b HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def running():
    ledger = Ledger(interval_s=1.0)
    ledger.add(snapshot())
    with Running(Routes(ledger), timeout_s=2.0) as server:
        yield server


def test_requests_of_any_bytes_are_answered_or_dropped_and_the_next_is_served(running):
    @fuzz(250)
    @given(mangled(REQUEST) | st.binary(max_size=100) | mangled(REQUEST).map(lambda data: data * 3))
    def run(data):
        try:
            answer = running.raw(data)
        except ConnectionResetError:
            return
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        status = answer[9:12]
        assert status in (b"", b"200", b"400", b"404", b"405", b"413", b"431", b"503"), status
        assert b"Traceback" not in answer

    run()
    assert running.get("/healthz")[0].status == 200


PATHS = st.sampled_from(
    [
        "/../../etc/passwd",
        "/%2e%2e/%00",
        "/metrics%0d%0aX: y",
        "//x",
        "http://[::1",
        "*",
        "/\x1b[31m",
    ]
)


@fuzz(100)
@given(PATHS | st.text(max_size=20))
def test_no_path_is_a_file_or_gets_into_the_head_of_the_answer(running_forever, path):
    line = path.replace("\n", "").replace("\r", "").encode("utf-8", "replace")
    answer = running_forever.raw(b"GET " + line + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in (b"200", b"400", b"404")
    assert b"\x1b" not in answer
    assert b"root:" not in body
    assert b"\nX:" not in head


@pytest.fixture(scope="module")
def running_forever():
    with Running(Routes(Ledger(interval_s=1.0)), timeout_s=2.0) as server:
        yield server


def test_a_request_that_never_ends_is_dropped_in_time(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        begun = time.monotonic()
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert client.recv(100) == b""
        assert time.monotonic() - begun < 5


@pytest.fixture(scope="module")
def prometheus():
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def fleet_of(server) -> None:
    found = settled(read_fleet, Prometheus(server.url, timeout_s=5.0))
    if found is None:
        return
    screen = console()
    for order in ("trouble", "name", "free", "memory"):
        with screen.capture() as shown:
            screen.print(table(ordered(found.machines, order)))
            screen.print(total_text(found))
        assert not {"\x1b]", "\x07", "\x9b"} & set(shown.get())
        assert "\x1b]" not in shown.get()


ROWS = st.fixed_dictionaries(
    {
        "metric": st.just({})
        | json_values
        | st.fixed_dictionaries({"instance": json_values | st.just("\x1b]0;x\x07")}),
        "value": st.tuples(
            st.just(0),
            st.sampled_from(["NaN", "+Inf", "-Inf", "1", "1e308", "x", ""]) | json_values,
        ).map(list),
    }
)


@fuzz(60)
@given(st.lists(ROWS, max_size=3))
def test_a_prometheus_may_answer_with_any_rows(prometheus, rows):
    body = {"status": "success", "data": {"resultType": "vector", "result": rows}}
    prometheus.status, prometheus.answer = 200, json.dumps(body).encode()
    fleet_of(prometheus)


@fuzz(40)
@given(
    json_values.map(json.dumps).map(str.encode) | st.binary(min_size=1, max_size=60),
    st.sampled_from([200, 400, 503]),
)
def test_a_prometheus_may_answer_with_anything(prometheus, body, status):
    prometheus.status, prometheus.answer = status, body
    fleet_of(prometheus)


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_nests_without_end_is_no_answer(prometheus, status):
    prometheus.status, prometheus.answer = status, b"[" * 200_000
    assert settled(read_fleet, Prometheus(prometheus.url)) is None


@pytest.mark.parametrize("url", ["http://[", "http://a b", "ftp://x", "http://\x1b", "", "http://"])
def test_an_address_that_is_none_is_refused(url):
    assert settled(lambda: read_fleet(Prometheus(url, timeout_s=1.0))) is None
