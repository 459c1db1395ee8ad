"""The daemon's half of kineto's protocol, against a client that speaks it by hand."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile import kineto


class Client:
    """Asks as libkineto does, and writes the file that the answer names."""

    def __init__(self, folder: Path, pid: int, kinds: tuple[int, ...] = (3,)) -> None:
        self.folder, self.pid, self.kinds = folder, pid, kinds
        self.answers: list[bytes] = []
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
            mine.bind(str(self.folder / "client"))
            mine.settimeout(5)
            for kinds in self.kinds:
                self._send(mine, kinds)
                self.answers.append(mine.recv(65536))
        text = self.answers[-1][40:].decode()
        pairs = dict(line.split("=", 1) for line in text.splitlines())
        written = Path(pairs["ACTIVITIES_LOG_FILE"].replace(".json", f"_{self.pid}.json"))
        written.write_text(text)

    def _send(self, mine: socket.socket, kinds: int) -> None:
        payload = struct.pack("<iiqii", kinds, 2, 0, self.pid, 1)
        header = struct.pack("<Q32s", len(payload), b"req")
        while True:
            try:
                mine.sendto(header + payload, str(self.folder / "dynolog"))
                return
            except OSError:
                threading.Event().wait(0.01)


def traced(tmp_path: Path, client: Client) -> str:
    client.thread.start()
    kineto.trace(
        os.getpid(),
        os.getuid(),
        tmp_path / "trace.json",
        window_seconds=0.25,
        socket_folder=str(tmp_path),
    )
    client.thread.join()
    return (tmp_path / "trace.json").read_text()


def test_the_answer_names_the_window_and_the_trace_comes_back(tmp_path):
    client = Client(tmp_path, os.getpid())
    configuration = traced(tmp_path, client)
    assert "ACTIVITIES_DURATION_MSECS=250\n" in configuration
    size, kind = struct.unpack_from("<Q32s", client.answers[0])
    assert (size, kind.rstrip(b"\0")) == (len(client.answers[0]) - 40, b"req")


def test_a_process_that_runs_its_own_profiler_is_not_disturbed(tmp_path):
    client = Client(tmp_path, os.getpid(), kinds=(1, 3))
    traced(tmp_path, client)
    assert client.answers[0] == struct.pack("<Q32s", 0, b"req")
    assert len(client.answers[1]) > 40


def test_another_daemon_is_named_as_the_reason(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "dynolog"))
        with pytest.raises(GpuDoctorError, match="another daemon"):
            kineto.trace(
                os.getpid(),
                os.getuid(),
                tmp_path / "trace.json",
                window_seconds=0.25,
                socket_folder=str(tmp_path),
            )


@pytest.mark.parametrize(
    "data", [b"", b"x" * 39, struct.pack("<Q32siiqi", 20, b"ctxt", 3, 1, 0, 5)]
)
def test_what_is_no_request_is_passed_over(data):
    assert kineto._parse(data) is None
