from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.reclaim.agents import ask
from gpudoctor.reclaim.cache import empty_cache
from tests.reclaim.targets import started
from tests.reclaim.test_empty_cache import TORCH

AGENT = f"sys.path[:0] = {[os.getcwd()]!r}\nimport gpudoctor.agent\n"
# The agent's request must work where entering is refused: here because SIGSEGV is ignored.
CLOSED = "import signal\nsignal.signal(signal.SIGSEGV, signal.SIG_IGN)\n"


def with_agent(children, rest: str = "import time\ntime.sleep(600)") -> int:
    code = f"import sys\n{AGENT}{CLOSED}{TORCH.replace('EXPANDABLE', 'False')}\n"
    pid = children.python(f"{code}\nprint('ready')\n{rest}")
    time.sleep(0.05)
    return pid


def test_the_agent_empties_the_cache_of_a_process_that_cannot_be_entered(children):
    report = empty_cache(with_agent(children))
    assert (report.status, report.way) == ("emptied", "agent")
    assert report.released_bytes == 700
    assert report.stopped_seconds == 0


def test_the_agent_answers_while_the_main_thread_computes(children):
    pid = with_agent(children, "while True: sum(range(1000))")
    assert empty_cache(pid).way == "agent"
    assert empty_cache(pid).released_bytes == 0


def test_a_process_without_an_agent_is_asked_nothing(children):
    pid = started(children, "import time\ntime.sleep(600)")
    assert ask(pid, force=False, deep=False, timeout_s=5) is None


def test_a_forked_child_has_no_agent_and_leaves_the_parent_its_own(children):
    rest = """
import os, time
child = os.fork()
if child: os.write(1, b"%d\\n" % child)
time.sleep(600)
"""
    pid = with_agent(children, rest)
    stdout = children.child(pid).stdout
    assert stdout is not None
    child = children.adopt(int(stdout.readline()))
    assert ask(child, force=False, deep=False, timeout_s=5) is None
    assert ask(pid, force=False, deep=False, timeout_s=5) is not None


def test_an_agent_that_claims_another_s_pid_is_not_believed(children):
    pid = started(children, "import time\ntime.sleep(600)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as impostor:
        impostor.bind(f"\0gpudoctor-agent-{pid}")
        impostor.listen()
        assert ask(pid, force=False, deep=False, timeout_s=5) is None


def test_nonsense_does_not_end_the_agent(children):
    pid = with_agent(children)
    for nonsense in (b"\n", b"[]\n", b"\xff\xfe\n", b"{" * 5000 + b"\n"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(f"\0gpudoctor-agent-{pid}")
            connection.sendall(nonsense)
            assert b"error" in connection.recv(4096)
    assert ask(pid, force=False, deep=False, timeout_s=5) is not None


@pytest.mark.parametrize(("value", "there"), [("1", True), ("0", False), (None, False)])
def test_the_agent_is_started_by_its_variable(children, value, there):
    site = Path(__file__).parents[2] / "packaging"
    code = (
        f"import site, sys, time\nsys.path[:0] = {[os.getcwd()]!r}\nsite.addsitedir({str(site)!r})"
    )
    env = {name: text for name, text in os.environ.items() if name != "GPUDOCTOR_AGENT"}
    env |= {} if value is None else {"GPUDOCTOR_AGENT": value}
    pid = children.python(f"{code}\nprint('ready')\ntime.sleep(600)", env=env)
    assert (ask(pid, force=False, deep=False, timeout_s=5) is not None) == there


@pytest.mark.skipif(os.geteuid() != 0, reason="changes users")
def test_another_user_is_not_answered(children):
    pid = with_agent(children)
    code = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0gpudoctor-agent-' + sys.argv[1])\n"
        's.sendall(b\'{"force": false, "deep": false}\\n\'); print(s.recv(100))\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid)], capture_output=True, text=True, timeout=30
    )
    assert "released" not in done.stdout
    assert done.stdout in ("b''\n", "")
    assert done.stdout or "ConnectionResetError" in done.stderr or "BrokenPipe" in done.stderr
