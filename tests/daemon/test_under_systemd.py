"""The service that `gpudoctor service install` writes, under a real systemd."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.builders import GIB
from tests.daemon.systemd import NAME, CannotBeRunError, booted
from tests.nvml_sim.build import SONAME
from tests.nvml_sim.machine import SimProcess

pytestmark = pytest.mark.integration
GPUDOCTOR = (sys.executable, "-P", "-m", "gpudoctor")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# Only what a test could not wait for is shorter than in the unit.
MORE = """
[Service]
StandardError=append:/run/machine/log
Environment=LD_LIBRARY_PATH=/run/machine GPUDOCTOR_NVML_SIM_STATE=/run/machine/gpus
WatchdogSec={watchdog}
RestartSec=1
ExecStopPost=+/bin/sh -c 'echo $SERVICE_RESULT >>/run/machine/results'
"""
CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_KILL": 5, "CAP_SYS_PTRACE": 19, "CAP_SYSLOG": 34}


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    try:
        with booted(tmp_path_factory.mktemp("systemd")) as running:
            yield running
    except CannotBeRunError as error:
        pytest.skip(f"no systemd can be run here: {error}")


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def install(manager, nvml_sim, port):
    """Installs the service and starts it; it is stopped at the end."""
    # Where it was built, only its builder may look.
    shutil.copy(nvml_sim.library / SONAME, manager.folder / SONAME)
    manager.log.write_text("")
    (manager.folder / "results").unlink(missing_ok=True)

    def done(*options, rights=(), watchdog=15):
        nvml_sim.machine.write(manager.folder / "gpus")
        usual = ("--listen", f"127.0.0.1:{port}", "--interval", "0.5")
        told = (*rights, "--", *usual, *options)
        manager.run(*GPUDOCTOR, "service", "install", "--force", *told)
        folder = f"/etc/systemd/system/{NAME}.d"
        (manager.folder / "more.conf").write_text(MORE.format(watchdog=watchdog))
        manager.run("sh", "-ec", f"mkdir -p {folder}; cp /run/machine/more.conf {folder}")
        manager.control("daemon-reload")
        # It comes back only when the service has said that it is ready.
        manager.control("enable", "--now", NAME)
        return manager

    yield done
    manager.control("stop", NAME)


@pytest.fixture
def service(install):
    return install()


def ask(port, path, token=None):
    head = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=head)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def capabilities(text):
    return {number for number in range(64) if int(text, 16) >> number & 1}


def test_it_is_ready_and_says_how_many_gpus_answer(service, port):
    state = service.state()
    assert (state["ActiveState"], state["SubState"], state["NRestarts"]) == (
        "active",
        "running",
        "0",
    )
    assert ask(port, "/healthz") == (200, "ok\n")
    service.wait(StatusText="8 of 8 GPUs answer")


def test_it_has_no_rights_and_a_user_of_its_own(service):
    state = service.status()
    assert "0" not in state["Uid"].split()
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert capabilities(state[kind]) == set(), kind
    assert (state["NoNewPrivs"], state["Seccomp"], state["Umask"]) == ("1", "2", "0077")
    inside = ("nsenter", "--target", service.state()["MainPID"], "--mount", "sh", "-c")
    folders = "/ /usr /etc /home /var/lib /var/lib/gpudoctor /run/gpudoctor"
    done = service.run(*inside, f"for one in {folders}; do test ! -w $one || echo $one; done")
    assert done.stdout.split() == ["/var/lib/gpudoctor", "/run/gpudoctor"]


def test_root_reads_what_it_remembers_and_others_ask_it_for_that(service):
    def recorded():
        done = service.run(*GPUDOCTOR, "history", "--json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["gpus"]

    assert len(until(recorded)) == 8
    assert service.run("test", "-s", "/var/lib/gpudoctor/history.sqlite3").returncode == 0
    by_daemon = service.run(*NOBODY, *GPUDOCTOR, "history", "--json", "--gpu", "3")
    assert "Told by the daemon at /run/gpudoctor/gpudoctor.sock" in by_daemon.stderr
    assert [gpu["index"] for gpu in json.loads(by_daemon.stdout)["gpus"]] == [3]
    service.control("stop", NAME)
    refused = service.run(*NOBODY, *GPUDOCTOR, "history", check=False)
    assert refused.returncode == 3
    assert "cause: Permission denied" in refused.stderr


def test_any_user_asks_it_by_its_socket(service, port):
    until(lambda: ask(port, "/readyz")[0] == 200)
    # There is no driver outside of the service: what this tells can only come from the daemon.
    done = service.run(*NOBODY, *GPUDOCTOR, "ps", "--json")
    gpus = {use["index"] for one in json.loads(done.stdout)["processes"] for use in one["gpus"]}
    assert gpus == set(range(8))


def test_a_reload_reads_the_settings_again_in_the_same_process(service):
    before = service.state()["MainPID"]
    service.control("reload", NAME)
    until(lambda: "the settings were read again" in service.log.read_text())
    after = service.wait(ActiveState="active", ReloadResult="success")
    assert after["MainPID"] == before


def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_begun_anew(install, port):
    service = install(watchdog=4)
    before = service.state()["MainPID"]
    service.run("kill", "-STOP", before)
    state = service.wait(NRestarts="1", ActiveState="active")
    assert state["MainPID"] != before
    assert (service.folder / "results").read_text() == "watchdog\n"
    assert ask(port, "/healthz")[0] == 200


def test_a_daemon_that_is_killed_is_begun_anew_with_its_history(service, port):
    before = service.state()["MainPID"]
    service.run("kill", "-KILL", before)
    state = service.wait(NRestarts="1", ActiveState="active")
    assert state["MainPID"] != before
    until(lambda: ask(port, "/readyz")[0] == 200)
    assert "cannot be opened" not in service.log.read_text()
    assert ask(port, "/api/v1/history")[0] == 200


@pytest.mark.parametrize("hangs", [False, True])
def test_it_stops_within_two_seconds_and_leaves_no_socket(service, nvml_sim, port, hangs):
    until(lambda: ask(port, "/readyz")[0] == 200)
    if hangs:
        nvml_sim.machine.hang("*", 600)
        time.sleep(0.7)
    service.control("stop", NAME)
    state = service.state()
    assert (state["ActiveState"], state["Result"]) == ("inactive", "success")
    times = (int(state[f"{name}TimestampMonotonic"]) for name in ("InactiveEnter", "ActiveExit"))
    assert next(times) - next(times) < 2e6
    assert service.run("test", "-e", "/run/gpudoctor", check=False).returncode == 1


def test_a_token_that_a_group_may_read_opens(install, manager, port):
    token = "0123456789abcdef"
    (manager.folder / "token").write_text(token)
    manager.run("sh", "-ec", "chgrp daemon /run/machine/token; chmod 640 /run/machine/token")
    install("--token-file", "/run/machine/token")
    assert ask(port, "/metrics")[0] == 401
    assert ask(port, "/metrics", token)[0] == 200


def test_the_kernel_log_takes_one_right(install):
    state = install(rights=("--kernel-log",)).status()
    assert "0" not in state["Uid"].split()
    assert capabilities(state["CapEff"]) == {CAPABILITIES["CAP_SYSLOG"]}


# The manager of a user's own services, who is nobody here.
OWN = """
[Service]
User=nobody
Group=nogroup
Type=notify
Delegate=yes
RuntimeDirectory=user/65534 home
ExecStart=/lib/systemd/systemd --user --unit=default.target
Environment=HOME=/run/home XDG_RUNTIME_DIR=/run/user/65534
Environment=LD_LIBRARY_PATH=/run/machine GPUDOCTOR_NVML_SIM_STATE=/run/machine/gpus
"""


def test_a_users_own_service_is_ready_answers_its_user_and_ends(manager, nvml_sim, port):
    nvml_sim.machine.write(manager.folder / "gpus")
    shutil.copy(nvml_sim.library / SONAME, manager.folder / SONAME)
    (manager.folder / "units" / "own.service").write_text(OWN)
    manager.control("daemon-reload")
    manager.control("start", "own.service")

    def typed(*words):
        home = ("env", "HOME=/run/home", "XDG_RUNTIME_DIR=/run/user/65534")
        return manager.run(*NOBODY, *home, *words).stdout

    def state():
        lines = typed("systemctl", "--user", "--no-pager", "show", NAME).splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    try:
        typed(*GPUDOCTOR, "service", "install", "--user", "--", "--listen", f"127.0.0.1:{port}")
        typed("systemctl", "--user", "daemon-reload")
        typed("systemctl", "--user", "enable", "--now", NAME)
        before = state()
        assert (before["ActiveState"], before["UnitFileState"]) == ("active", "enabled")
        until(lambda: state()["StatusText"] == "8 of 8 GPUs answer")
        seen = json.loads(typed(*GPUDOCTOR, "ps", "--json"))
        made = {one.pid for gpu in nvml_sim.machine.gpus for one in gpu.processes}
        assert {one["pid"] for one in seen["processes"]} == made
        typed("systemctl", "--user", "reload", NAME)
        typed("systemctl", "--user", "stop", NAME)
        after = state()
        assert (after["ActiveState"], after["Result"], after["NRestarts"]) == (
            "inactive",
            "success",
            "0",
        )
    finally:
        manager.control("stop", "own.service")


RULES = """
at_most_per_hour = 1
[[reclaim]]
users = ["nobody"]
held_longer_than = "1s"
mode = "kill"
"""
ORPHAN = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
more = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0"}
print(os.getpid(), flush=True)
null = os.open(os.devnull, os.O_RDWR)
for number in range(3):
    os.dup2(null, number)
os.execve("/bin/sleep", ["sleep", "600"], {**os.environ, **more})
"""


def test_what_is_left_over_is_ended_with_three_rights_and_the_limit_outlasts_a_crash(
    install, manager, nvml_sim
):
    pids = [int(manager.run(*NOBODY, sys.executable, "-c", ORPHAN).stdout) for _ in range(2)]
    for gpu in nvml_sim.machine.gpus:
        gpu.processes.clear()
    nvml_sim.machine.gpus[3].processes += [SimProcess(pid, 17 * GIB) for pid in pids]
    (manager.folder / "reclaim.toml").write_text(RULES)
    policy = ("--inspect", "1", "--reclaim-policy", "/run/machine/reclaim.toml")
    install(*policy, rights=("--allow-reclaim",))
    needed = {CAPABILITIES[name] for name in ("CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")}
    assert capabilities(manager.status()["CapEff"]) == needed
    until(lambda: "ended pid" in manager.log.read_text())
    manager.run("kill", "-KILL", manager.state()["MainPID"])
    manager.log.write_text("")
    until(lambda: "1 were ended within an hour" in manager.log.read_text())
    left = [
        pid
        for pid in pids
        if manager.run("test", "-e", f"/proc/{pid}", check=False).returncode == 0
    ]
    assert len(left) == 1


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
