"""A process on a GPU whose name, arguments, folder and environment are made to drive a terminal."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
import urllib.error
from html.parser import HTMLParser

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.serving import serving

pytestmark = pytest.mark.integration

EVIL = b"\x1b]0;owned\x07\x1b[31m\xc2\x9b1m\r\n\"'\\</script><script>alert(1)</script>[red]{{7*7}}\xff\xfe"
NAME = b'\x1b[2J\n")<b>\xff'
CODE = """
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
print("ready", flush=True)
time.sleep(600)
"""
MARKS = {
    b"JPY_PARENT_PID": "²".encode(),
    b"TORCHELASTIC_RUN_ID": EVIL,
    b"RANK": EVIL,
    b"WORLD_SIZE": EVIL,
    b"SLURM_JOB_ID": EVIL,
    b"JPY_SESSION_NAME": EVIL,
}


@pytest.fixture
def evil(nvml_sim, tmp_path):
    """The simulated machine with such a process on its first GPU."""
    folder = os.fsencode(tmp_path) + b"/\x1b[31m\xff"
    os.mkdir(folder)
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CODE,
            NAME.hex(),
            EVIL,
            b"ipykernel_launcher",
            b"/x/kernel-\x1b.json",
        ],
        cwd=folder,
        env={os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()} | MARKS,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"ready\n"
    nvml_sim.machine.gpus[0].processes[0].pid = child.pid
    nvml_sim.machine.gpus[1].name = "\x1b]0;x\x07 H100"
    nvml_sim.save()
    yield nvml_sim, child.pid
    child.kill()
    child.wait()
    child.stdout.close()


def told(sim, *arguments: str) -> str:
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    env = {**sim.env, "COLUMNS": "2000", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode in (0, 1), done.stderr.decode()
    harmless(done.stdout)
    harmless(done.stderr.replace(b"\r", b"\n"))  # which `record` counts with
    return done.stdout.decode()


def harmless(raw: bytes) -> None:
    text = raw.decode("utf-8")  # which fails for bytes that are no UTF-8
    wrong = [char for char in text if not char.isprintable() and char != "\n"]
    assert not wrong, (wrong, text)


@pytest.mark.parametrize(
    "arguments",
    [("ps",), ("ps", "--tree"), ("orphans", "--all", "--window", "0"), ()],
    ids=" ".join,
)
def test_tables_show_the_names_escaped(evil, arguments):
    sim, pid = evil
    text = told(sim, *arguments)
    assert str(pid) in text
    assert "\\x1b" in text


@pytest.mark.parametrize(
    "arguments",
    [("ps", "--json"), ("ps", "--tree", "--json"), ("orphans", "--all", "--window", "0", "--json")],
    ids=" ".join,
)
def test_json_holds_the_names_in_its_own_escapes(evil, arguments):
    sim, pid = evil
    answer = json.loads(told(sim, *arguments))
    [row] = [
        one
        for name in ("processes", "orphans")
        for one in answer.get(name, ())
        if one["pid"] == pid
    ]
    assert any("\x1b]0;owned\x07" in word for word in row["command"])


def patiently(daemon, path: str) -> str:
    until = time.monotonic() + 30
    while True:
        try:
            return daemon.get(path)
        except urllib.error.HTTPError as error:  # 503: nothing was inspected yet
            assert error.code == 503
            assert time.monotonic() < until
            time.sleep(0.1)


def test_the_daemon_s_answers_and_log_hold_nothing_raw(evil):
    sim, pid = evil
    with serving(
        "--interval", "0.2", "--inspect", "1", "--processes", "20", root=(), env=sim.env
    ) as daemon:
        body = daemon.wait_for(f'pid="{pid}"')
        found = {
            sample.labels["name"]
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.labels.get("pid") == str(pid)
        }
        assert len(found) == 1
        assert found.pop().endswith("<b>\\xff")
        harmless(body.encode())
        for path in ("snapshot", "findings", "orphans"):
            harmless(patiently(daemon, f"api/v1/{path}").encode())
        snapshot = json.loads(daemon.get("api/v1/snapshot"))
        assert str(pid) in json.dumps(snapshot)


def test_a_recording_holds_the_names_and_plays_them_escaped(evil, tmp_path):
    sim, pid = evil
    path = tmp_path / "r.jsonl.gz"
    told(sim, "record", str(path), "--duration", "1", "--interval", "0.2")
    assert b"\x1b" not in gzip.decompress(path.read_bytes())
    assert str(pid) in told(sim, "--replay", str(path), "ps")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)


def test_a_profile_of_a_script_with_such_a_name_is_a_harmless_report(nvml_sim, tmp_path):
    script = tmp_path / "\x1b]0;x\x07<b id=evil>\n'\".py"
    text = EVIL.decode("utf-8", "replace")
    script.write_text(
        f"import time\nend = time.time() + 1.2\nwhile time.time() < end: pass\nraise ValueError({text!r})\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gpudoctor", "profile", "--out", str(out), str(script), text]
    done = subprocess.run(command, env=nvml_sim.env, capture_output=True, timeout=90)
    assert done.returncode == 1
    harmless(done.stdout)
    page = (out / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not {"b", "evil"} & set(tags.found)
    assert "<script>alert" not in page
    assert "\x1b" not in page
    json.loads((out / "profile.json").read_text())
    harmless((out / "profile.json").read_bytes())
