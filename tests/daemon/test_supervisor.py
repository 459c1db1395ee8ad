from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from gpudoctor.daemon.supervisor import Supervisor


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def told(manager):
    return manager.recv(4096).decode().splitlines()


def test_lines_arrive_in_one_message(manager):
    Supervisor({"NOTIFY_SOCKET": manager.getsockname()}).tell("READY=1", "STATUS=fine")
    assert told(manager) == ["READY=1", "STATUS=fine"]


def test_without_a_manager_nothing_is_said(manager, monkeypatch):
    # Whoever gives an environment means that one, not the one that we run in.
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    for environment in ({}, {"NOTIFY_SOCKET": "/does/not/exist"}, {"NOTIFY_SOCKET": "@"}):
        Supervisor(environment).tell("READY=1")
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        told(manager)
    assert Supervisor({}).every_s is None


def test_a_manager_that_went_away_is_no_failure(manager):
    supervisor = Supervisor({"NOTIFY_SOCKET": manager.getsockname()})
    manager.close()
    supervisor.tell("WATCHDOG=1")
    assert supervisor.every_s == 5.0


def test_the_abstract_namespace_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")
        name = listening.getsockname()[1:].decode()
        listening.settimeout(5)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
        assert told(listening) == ["READY=1"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_names_us(environment, seconds):
    assert Supervisor(environment).watchdog_s == seconds


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "/run/notify"}, 5.0),
        ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "60000000"}, 5.0),
        ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3000000"}, 1.0),
    ],
)
def test_whoever_listens_is_told_every_few_seconds_and_often_enough(environment, seconds):
    assert Supervisor(environment).every_s == seconds


def test_the_daemon_says_that_it_is_ready_alive_and_stopping(manager):
    command = [sys.executable, "-m", "gpudoctor", "--demo", "serve", "--listen", "127.0.0.1:0"]
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "900000"}
    with subprocess.Popen(
        [*command, "--interval", "0.2"],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        assert told(manager)[0] == "READY=1"
        assert told(manager) == ["WATCHDOG=1", "STATUS=8 of 8 GPUs answer"]
        daemon.terminate()
        while (lines := told(manager)) != ["STOPPING=1"]:
            assert lines[0] == "WATCHDOG=1"
        assert daemon.wait(10) == 0
