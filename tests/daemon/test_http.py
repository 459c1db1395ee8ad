from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.daemon.http import BadRequestError, HttpServer, Request, Response, parse_head
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.listen import Address, bind
from gpudoctor.daemon.routes import Routes
from gpudoctor.model.readings import NvLink, NvLinkReading
from tests.builders import device, process, snapshot


class Running:
    """The server on a free port, in a thread of its own."""

    def __init__(self, answer, **options) -> None:
        self._socket = bind(Address("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._server = HttpServer(answer, **options)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._wait(self._server.listen(self._socket))
        return self

    def __exit__(self, *_):
        self._wait(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _wait(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def ledger():
    return Ledger(interval_s=1.0)


@pytest.fixture
def server(ledger):
    with Running(Routes(ledger)) as running:
        yield running


def test_metrics_are_plain_text_unless_asked_otherwise(server, ledger):
    ledger.add(snapshot())
    answer, body = server.get("/metrics")
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.getheader("Content-Encoding") is None
    assert b"gpudoctor_gpu_up{" in body


def test_metrics_are_openmetrics_and_compressed_for_prometheus(server, ledger):
    ledger.add(snapshot())
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answer, body = server.get("/metrics", Accept=accept, **{"Accept-Encoding": "gzip"})
    assert answer.getheader("Content-Type").startswith("application/openmetrics-text")
    assert gzip.decompress(body).endswith(b"# EOF\n")


def test_what_is_refused_with_q_0_is_not_sent(server, ledger):
    ledger.add(snapshot())
    answer, _ = server.get("/metrics", **{"Accept-Encoding": "gzip;q=0"})
    assert answer.getheader("Content-Encoding") is None


def test_a_head_request_has_the_length_but_no_body(server, ledger):
    ledger.add(snapshot())
    answer, body = server.get("/metrics", "HEAD")
    assert body == b""
    assert int(answer.getheader("Content-Length")) > 1000


def test_the_daemon_is_alive_before_it_is_ready(server, ledger):
    assert server.get("/healthz")[0].status == 200
    assert server.get("/readyz")[0].status == 503
    assert server.get("/api/v1/snapshot")[0].status == 503
    assert b"gpudoctor_sampling_up 0" in server.get("/metrics")[1]
    ledger.add(snapshot())
    assert server.get("/readyz")[0].status == 200


def test_the_snapshot_is_json_with_its_schema(server, ledger):
    ledger.add(snapshot(processes=(process(4711),)))
    answer, body = server.get("/api/v1/snapshot")
    assert answer.getheader("Content-Type") == "application/json"
    told = json.loads(body)
    assert told["schema"] == "gpudoctor.snapshot/1"
    assert told["fresh"] is True
    assert told["snapshot"]["processes"][0]["pid"] == 4711
    assert told["snapshot"]["devices"][0]["thermal"]["fan_ratio"] is None


@pytest.mark.parametrize("wanted", [False, True])
def test_single_nvlinks_are_in_the_snapshot_where_they_were_asked_for(wanted):
    ledger = Ledger(interval_s=1.0, link_rows=wanted)
    links = (NvLink(0, True, 10, 20), NvLink(1, False, 0, 0))
    ledger.add(snapshot(device(0, nvlink=NvLinkReading(1, 2, 10, 20, links=links))))
    with Running(Routes(ledger)) as server:
        told = json.loads(server.get("/api/v1/snapshot")[1])
    [gpu] = told["snapshot"]["devices"]
    assert len(gpu["nvlink"].pop("links")) == (2 if wanted else 0)
    assert gpu["nvlink"]["links_total"] == 2
    assert gpu["nvlink"]["transmit_bytes"] == 10


def test_the_index_names_the_other_pages(server):
    _, body = server.get("/")
    assert b'href="/metrics"' in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_get_and_head_is_taken(server, method):
    answer, _ = server.get("/metrics", method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"


def test_an_unknown_path_is_not_found(server):
    assert server.get("/etc/passwd")[0].status == 404


def test_a_connection_is_used_again(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
    connection.close()


def test_oversized_headers_are_refused(server):
    answer = server.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert server.get("/healthz")[0].status == 200


@pytest.mark.parametrize("data", [b"hello\r\n\r\n", b"GET /\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
def test_what_is_no_http_is_told_so(server, data):
    assert server.raw(data).startswith(b"HTTP/1.1 400 ")


def test_a_request_with_a_body_is_refused(server):
    answer = server.raw(b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_http_1_0_is_answered_and_closed(server):
    answer = server.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok\n")


def test_a_client_that_never_ends_its_request_is_dropped_and_delays_nobody(ledger):
    with (
        Running(Routes(ledger), timeout_s=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        assert server.get("/healthz")[0].status == 200
        assert time.monotonic() - begun < 0.3
        with pytest.raises(ConnectionResetError):
            assert slow.recv(100) == b""
            raise ConnectionResetError
        assert time.monotonic() - begun < 3


def test_a_client_that_never_reads_is_dropped():
    large = Response(b"x" * 50_000_000)
    with (
        Running(lambda request: large, timeout_s=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(1.0)
        got = 0
        with pytest.raises(ConnectionResetError):
            while data := client.recv(1 << 20):
                got += len(data)
            raise ConnectionResetError
        assert got < 50_000_000


def test_too_many_connections_are_turned_away_and_the_others_are_served(ledger):
    with Running(Routes(ledger), most=2) as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        time.sleep(0.2)
        assert server.raw(b"").startswith(b"HTTP/1.1 503 ")
        for one in held:
            one.close()
        time.sleep(0.2)
        assert server.get("/healthz")[0].status == 200


def test_two_hundred_scrapes_at_once_are_all_answered(server, ledger):
    ledger.add(snapshot())
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(200)]
    for client in clients:
        client.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
    for client in clients:
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        client.close()


def test_an_answer_that_raises_is_a_500_and_not_the_end(caplog):
    def broken(request):
        raise RuntimeError("no")

    with Running(broken) as server:
        assert server.get("/")[0].status == 500
        assert server.get("/")[0].status == 500
    assert "no answer to /" in caplog.text


@given(st.binary(max_size=300))
def test_no_head_breaks_the_parser(data):
    try:
        request = parse_head(data + b"\r\n\r\n")
    except BadRequestError as error:
        assert 400 <= error.status < 500
    else:
        assert isinstance(request, Request)
        assert request.method in ("GET", "HEAD")
