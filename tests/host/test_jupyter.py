from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gpudoctor.host.jupyter import connection_file, notebook

KERNELS = [
    {"id": "other", "connections": 1},
    {
        "id": "k1",
        "name": "python3",
        "last_activity": "2026-03-01T10:00:00.250000Z",
        "execution_state": "idle",
        "connections": 0,
    },
]
SESSIONS = [{"path": "work/train.ipynb", "kernel": {"id": "k1"}}, {"path": "x", "kernel": None}]


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"/base/api/kernels": KERNELS, "/base/api/sessions": SESSIONS}.get(self.path)
        right = self.headers["Authorization"] == "token secret"
        body = json.dumps(told if right else {"message": "Forbidden"}).encode()
        self.send_response(200 if right else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def runtime(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = {"port": server.server_port, "base_url": "/base/", "token": "secret", "secure": False}
    (tmp_path / "jpserver-1.json").write_text(json.dumps(told))
    yield tmp_path
    server.shutdown()
    server.server_close()


def test_the_server_tells_who_looks_and_since_when_the_kernel_idles(runtime):
    found = notebook(runtime / "kernel-k1.json")
    assert found is not None
    assert (found.path, found.state, found.connections) == ("work/train.ipynb", "idle", 0)
    assert found.last_activity == 1772359200.25


def test_a_kernel_that_the_server_does_not_know_has_no_notebook(runtime):
    assert notebook(runtime / "kernel-k2.json") is None


def test_a_wrong_token_tells_nothing(runtime):
    file = runtime / "jpserver-1.json"
    file.write_text(file.read_text().replace("secret", "stale"))
    assert notebook(runtime / "kernel-k1.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port": 1, "token": "x"}', "\x00"])
def test_a_broken_or_dead_server_s_file_tells_nothing(tmp_path, text):
    (tmp_path / "jpserver-1.json").write_text(text)
    assert notebook(tmp_path / "kernel-k1.json") is None


def test_only_a_kernel_has_a_connection_file():
    kernel = ("python", "-m", "ipykernel_launcher", "-f", "/run/kernel-1.json")
    assert connection_file(kernel) == Path("/run/kernel-1.json")
    assert connection_file(("python", "train.py", "/data/config.json")) is None
