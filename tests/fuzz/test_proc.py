"""Files of /proc, of the kernel log and of Jupyter: what a process says of itself may be anything."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.checks.facts.kernel_log import KernelLog, read_kernel_log
from gpudoctor.host.jupyter import notebook
from gpudoctor.host.lineage import LineageReader
from gpudoctor.host.origins import ancestors, origin
from gpudoctor.host.parked import recorded
from gpudoctor.host.proc_files import parse_cgroup, parse_stat, read_stat
from gpudoctor.host.procs import LocalHost
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.reclaim.origins import server_gone
from tests.fuzz.settled import fuzz, json_values

STAT = (
    b"%d (%s) S 1 5 5 0 -1 4194304 1 1 1 1 7 3 1 1 20 0 1 0 900 1000 50 1 1 1 1 1 1 1 1 1 1 1 1 1"
)
NAMES = st.sampled_from(
    [b")", b") R 9 9 (", b"a b\n(c", b"\x1b[31m", b"\xff\xfe", b""]
) | st.binary(max_size=15)
NUMBERS = st.sampled_from(
    ["²", "٣", "9" * 5000, "-1", "", "1 2", "\x1b", "99999999999999999999999"]
)


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "5" / "fd").mkdir(parents=True)
    (tmp_path / "5" / "task" / "5").mkdir(parents=True)
    (tmp_path / "stat").write_text("cpu 1 1 1 1 1 1 1 1\nbtime 1700000000\n")
    return tmp_path


def look(proc: Path):
    """Everything that is read of a process, as JSON."""
    host = LocalHost(proc)
    found = [
        host.reading(),
        host.processes(frozenset({5})),
        origin(5, (), proc),
        ancestors(5, proc),
    ]
    lineage = LineageReader(proc, proc).read(5)
    if lineage is not None:
        found += [lineage, server_gone(lineage)]
    # NaN and Infinity are no JSON.
    return json.loads(
        envelope("x/1", {"found": to_builtins(found)}),
        parse_constant=lambda name: pytest.fail(name),
    )


def test_every_name_of_a_process_is_told_from_its_numbers(proc):
    @fuzz(150)
    @given(NAMES)
    def run(name):
        (proc / "5" / "stat").write_bytes(STAT % (5, name))
        stat = read_stat(proc, 5)
        assert (stat.pid, stat.parent_pid, stat.start_ticks) == (5, 1, 900)
        seen = look(proc)["found"][1]["5"]
        assert (seen["parent_pid"], seen["state"]) == (1, "sleeping")

    run()


FILES = st.sampled_from(
    ["stat", "status", "cmdline", "environ", "cgroup", "wchan", "task/5/stat", "net/tcp"]
)


def test_files_of_any_bytes_are_read_as_far_as_they_make_sense(proc):
    (proc / "5" / "net").mkdir()

    @fuzz(250)
    @given(st.dictionaries(FILES, st.binary(max_size=120), max_size=6), st.booleans())
    def run(files, whole):
        (proc / "5" / "stat").write_bytes(STAT % (5, b"python") if whole else b"")
        for name, data in files.items():
            (proc / "5" / name).write_bytes(data)
        look(proc)

    run()


@fuzz(200)
@given(
    st.dictionaries(st.sampled_from(["stat", "meminfo", "loadavg"]), st.binary(max_size=60)),
    NUMBERS,
)
def test_the_machine_s_own_files_may_be_odd_too(tmp_path_factory, files, number):
    root = tmp_path_factory.mktemp("proc")
    for name, data in files.items():
        (root / name).write_bytes(data)
    host = LocalHost(root)
    assert_possible(host.reading())
    (root / "stat").write_text(f"cpu {number} {number}\nbtime {number}\n")
    assert_possible(host.reading())


def assert_possible(seen):
    assert seen.cpu_ratio is None or 0 <= seen.cpu_ratio <= 1
    assert seen.memory_total_bytes is None or seen.memory_total_bytes >= 0
    assert seen.load_average is None or len(seen.load_average) == 3


def test_odd_numbers_in_the_environment_and_status_of_a_process_are_passed_over(proc):
    folder = proc / "5"

    @fuzz(100)
    @given(NUMBERS, NUMBERS)
    def run(server, number):
        (folder / "stat").write_bytes(STAT % (5, b"python"))
        (folder / "cmdline").write_bytes(b"python\0-m\0ipykernel\0-f\0/nowhere/kernel-1.json\0")
        (folder / "environ").write_text(
            f"JPY_PARENT_PID={server}\0RANK={number}\0SLURM_JOB_ID={number}\0"
        )
        (folder / "status").write_text(
            f"Uid:\t{number}\nNSpid:\t5\t{number}\nSigIgn:\t{number}\nTracerPid:\t{number}\n"
        )
        look(proc)

    run()


@fuzz(200)
@given(
    st.text(max_size=40)
    | st.from_regex(r"(\d|0)::/(system\.slice|kubepods|docker)(/[\w.@-]{0,8}){0,6}", fullmatch=True)
)
def test_control_groups_are_parsed(text):
    placed = parse_cgroup(text)
    assert placed.path == "" or placed.path in text
    named = (placed.system_unit, placed.user_unit, placed.slurm_job, placed.container)
    assert all(one is None or (one and one in placed.path) for one in named)


def test_a_control_group_that_is_made_to_be_slow_is_not():
    begun = time.perf_counter()
    parse_cgroup("0::" + "/docker/kubepods" * 300 + "/job_" * 50 + "x" * 70)
    parse_cgroup("0::/system.slice/slurmstepd.scope" + "/slurm" * 600)
    assert time.perf_counter() - begun < 1


def test_lines_of_the_kernel_log_are_read_or_passed_over(tmp_path):
    lines = st.sampled_from(
        [
            "4,1,{n},-;NVRM: Xid (PCI:0000:01:00): {n}, pid={n}, name=\x1b[31m",
            "NVRM: Xid (0000:01:00): {n}, x",
            "4,{n},{n};nvidia {n}",
            ";NVRM:",
            "NVRM: Xid (PCI:::::): 79",
        ]
    )
    texts = st.builds(lambda line, n: line.format(n=n), lines, NUMBERS | st.integers().map(str))

    @fuzz(250)
    @given(st.lists(texts, max_size=3).map("\n".join).map(str.encode) | st.binary(max_size=80))
    def run(data):
        (tmp_path / "kmsg").write_bytes(data)
        log = read_kernel_log(tmp_path / "kmsg", journal=False)
        assert isinstance(log, KernelLog)
        assert all(one.code >= 0 for one in log.xids())

    run()


class Server:
    """Answers every request on a port of this machine with the same bytes, one at a time if slow."""

    def __init__(self, answer: bytes, pause_s: float = 0.0) -> None:
        self.answer, self.pause_s = answer, pause_s
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                try:
                    client.recv(65536)
                    for place in range(0, len(self.answer), 1 if self.pause_s else 65536):
                        client.sendall(self.answer[place : place + (1 if self.pause_s else 65536)])
                        time.sleep(self.pause_s)
                except OSError:
                    continue


@pytest.fixture
def kernel(tmp_path):
    def made(**server):
        (tmp_path / "jpserver-1.json").write_text(json.dumps(server))
        return tmp_path / "kernel-1.json"

    return made


@fuzz(60)
@given(json_values, json_values, json_values, json_values)
def test_a_jupyter_server_s_file_of_any_shape_is_read_or_passed_over(
    tmp_path_factory, port, url, token, host
):
    folder = tmp_path_factory.mktemp("runtime")
    body = {"port": port, "base_url": url, "token": token, "hostname": host}
    (folder / "jpserver-1.json").write_text(json.dumps(body))
    (folder / "jpserver-2.json").write_text(json.dumps(port))
    (folder / "jpserver-3.json").write_text("[" * 100_000)
    # Nobody answers there, whatever the file says.
    assert notebook(folder / "kernel-1.json") is None


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "1", "connections": "x", "last_activity": "0001-01-01T00:00:00+14:00"},
        {"id": "1", "execution_state": ["\x1b"]},
        {"id": []},
        7,
    ],
)
def test_a_jupyter_server_s_answer_of_any_shape_is_read(kernel, answer):
    body = json.dumps([answer]).encode()
    server = Server(b"HTTP/1.0 200 OK\r\n\r\n" + body)
    found = notebook(kernel(port=server.port))
    if found is not None:
        assert found.path is None or isinstance(found.path, str)
        assert found.connections is None and isinstance(found.state, str)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\xff",
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9" + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_answer_of_a_jupyter_server_is_passed_over(kernel, answer):
    assert notebook(kernel(port=Server(answer).port)) is None


def test_a_jupyter_server_that_answers_for_ever_is_given_up(kernel):
    server = Server(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 10_000, pause_s=0.1)
    begun = time.monotonic()
    assert notebook(kernel(port=server.port)) is None
    assert time.monotonic() - begun < 8


def test_a_pipe_in_the_place_of_a_server_s_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "jpserver-1.json")
    begun = time.monotonic()
    assert notebook(tmp_path / "kernel-1.json") is None
    assert time.monotonic() - begun < 2


@fuzz(80)
@given(
    json_values.map(json.dumps).map(str.encode) | st.binary(max_size=40) | st.just(b"[" * 100_000)
)
def test_damaged_records_of_parked_processes_are_passed_over(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("parked")
    (folder / "5-900.json").write_bytes(data)
    assert recorded([folder]) == ()


def test_a_stat_that_the_kernel_would_not_write_is_an_error_that_readers_know(tmp_path):
    @fuzz(150)
    @given(st.text(max_size=60))
    def run(text):
        try:
            stat = parse_stat(text)
        except (ValueError, IndexError):
            return
        assert f"({stat.name})" in text

    run()
