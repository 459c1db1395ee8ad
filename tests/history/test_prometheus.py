from __future__ import annotations

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.prometheus import Prometheus, read_fleet

# Values by what the query begins with; all other queries have no result.
VALUES = {
    "max by (instance) (gpudoctor_sampling_up": {"a": 1, "b": 0},
    "max by (instance) (last_over_time": {"a": 1, "b": 1, "gone": 1},
    "count by (instance) (gpudoctor_gpu_info": {"a": 8, "b": 4},
    "sum by (instance) (1 - gpudoctor_gpu_up": {"a": 1, "b": 4},
    "avg by (instance) (gpudoctor_gpu_utilization": {"a": 0.25},
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    status = 200
    answer: bytes | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.queries: list[str] = []
        self.tokens: set[str | None] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query = urllib.parse.parse_qs(body)["query"][0]
        self.server.queries.append(query)
        self.server.tokens.add(self.headers["Authorization"])
        found = next((rows for start, rows in VALUES.items() if query.startswith(start)), {})
        result = [
            {"metric": {"instance": name}, "value": [0, str(value)]}
            for name, value in found.items()
        ]
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer or json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as running:
        yield running
        running.shutdown()


def test_a_machine_that_is_remembered_but_silent_is_told_as_such(server):
    fleet = read_fleet(Prometheus(server.url + "/"))
    assert fleet.source == server.url
    a, b, gone = fleet.machines
    assert (a.instance, a.sampling, a.gpus, a.gpus_down) == ("a", True, 8, 1)
    assert a.utilization_ratio == 0.25
    assert b.sampling is False
    assert (gone.sampling, gone.gpus) == (None, None)
    assert gone.troubles == ("does not answer",)
    assert b.troubles == ("no samples", "4 GPUs not answering")


def test_no_findings_are_0_only_where_somebody_looks(server):
    a, b, gone = read_fleet(Prometheus(server.url)).machines
    assert [one.findings for one in (a, b, gone)] == [0, None, None]
    assert a.power_watts is None


def test_matchers_reach_every_query(server):
    read_fleet(Prometheus(server.url), match='cluster="a"', idle_for="2h")
    assert len(server.queries) > 10
    for query in server.queries:
        assert query.count('cluster="a"') == query.count("gpudoctor_"), query
    assert any("[2h]" in query for query in server.queries)


def test_a_token_is_sent_along(server):
    read_fleet(Prometheus(server.url, token="secret"))
    assert server.tokens == {"Bearer secret"}


def test_what_the_server_says_of_a_bad_query_is_told(server):
    server.status = 400
    server.answer = b'{"status": "error", "error": "parse error at char 7"}'
    with pytest.raises(GpuDoctorError) as caught:
        read_fleet(Prometheus(server.url))
    assert caught.value.cause == "HTTP 400: parse error at char 7"
    assert caught.value.exit_code == 3


ENDLESS = b'{"data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, %s]}]}}' % (
    b"9" * 400
)


@pytest.mark.parametrize(
    "answer", [b"<html>", b"{}", b'{"data": {"resultType": "matrix"}}', ENDLESS]
)
def test_something_that_is_no_prometheus_is_told(server, answer):
    server.answer = answer
    with pytest.raises(GpuDoctorError, match="cannot be asked"):
        read_fleet(Prometheus(server.url))


def test_a_prometheus_without_gpudoctor_is_told(server):
    server.answer = b'{"data": {"resultType": "vector", "result": []}}'
    with pytest.raises(GpuDoctorError, match="knows no machine"):
        read_fleet(Prometheus(server.url))


def test_nobody_there_is_told():
    with pytest.raises(GpuDoctorError) as caught:
        read_fleet(Prometheus("http://127.0.0.1:1"))
    assert "refused" in caught.value.cause


@pytest.mark.parametrize("url", ["localhost:9090", "file:///etc/passwd", ""])
def test_what_is_no_address_is_told(url):
    with pytest.raises(GpuDoctorError, match="no address"):
        Prometheus(url)
