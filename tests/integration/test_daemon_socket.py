"""The daemon as a source for other commands, and its reclaim policy: as programs, on the simulated driver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from gpudoctor.daemon.client import Client, NoAnswerError
from gpudoctor.host.proc_files import read_stat
from tests.cli.serving import serving
from tests.nvml_sim.machine import SimProcess
from tests.reclaim.children import PROC, until

pytestmark = pytest.mark.integration
GIB = 1024**3


def run(*arguments, env):
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)


@pytest.fixture
def env(nvml_sim, tmp_path):
    own = {"GPUDOCTOR_SOCKET": str(tmp_path / "gpudoctor.sock"), "XDG_STATE_HOME": str(tmp_path)}
    return nvml_sim.env | own


@pytest.fixture
def without_driver(env):
    """What a program sees that can reach the daemon, but no driver."""
    return {name: value for name, value in env.items() if name != "LD_LIBRARY_PATH"}


@contextlib.contextmanager
def daemon_on(env, *arguments):
    with serving("--interval", "0.3", *arguments, root=(), env=env) as daemon:
        daemon.wait_for("gpudoctor_gpu_up{")
        yield daemon


def test_ps_shows_through_the_daemon_what_it_shows_by_itself(env, without_driver, children):
    with daemon_on(env) as daemon:
        direct = json.loads(run("ps", "--json", "--no-daemon", env=env).stdout)
        through = json.loads(run("ps", "--json", env=without_driver).stdout)
        assert [row["pid"] for row in through["processes"]] == [
            row["pid"] for row in direct["processes"]
        ]
        assert through["devices"] == direct["devices"]
        told = run("ps", env=without_driver)
        assert "by the daemon at" in told.stderr
        assert "by the daemon at" not in run("--no-daemon", "ps", env=env).stderr
        assert run("ps", "--no-daemon", env=without_driver).returncode == 3
        # A window of one second shows that the daemon's looks are told apart.
        found = run("orphans", "--json", "--window", "1", env=without_driver)
        assert json.loads(found.stdout)["schema"] == "gpudoctor.orphans/1"
        daemon.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        hung = run("ps", "--json", env=env)
        daemon.process.send_signal(signal.SIGCONT)
        assert "is not used: it did not answer in time" in hung.stderr
        assert json.loads(hung.stdout)["devices"] == direct["devices"]
        assert time.monotonic() - begun < 10
        daemon.process.kill()
        daemon.process.wait(10)
        left = run("ps", "--json", env=env)
        assert (left.returncode, left.stderr) == (0, "")


def test_a_place_that_cannot_be_looked_at_is_none_where_a_daemon_listens(env):
    told = run("ps", "--json", env=env | {"GPUDOCTOR_SOCKET": "/" + "x" * 5000})
    assert (told.returncode, told.stderr) == (0, "")


def test_the_overview_in_text_is_the_daemons_too(env, without_driver):
    with daemon_on(env):
        told = run("--once", env=without_driver)
        assert told.returncode == 0
        assert "by the daemon at" in told.stderr
        assert "H100" in told.stdout
        assert run("--once", "--no-daemon", env=without_driver).returncode == 3


def test_a_token_for_the_port_keeps_root_and_the_daemons_user_from_nothing(
    env, without_driver, tmp_path
):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    other = tmp_path / "other.sock"
    command = ("--token-file", str(token), "--listen", f"unix:{other}", "--interval", "0.3")
    program = [sys.executable, "-m", "gpudoctor", "serve", *command]
    daemon = subprocess.Popen(program, env=env, stderr=subprocess.DEVNULL)
    try:
        until(lambda: run("ps", env=without_driver).returncode == 0)
        # Whoever listens before a socket of one's own choice, as a proxy does, asks for others.
        with pytest.raises(NoAnswerError, match="wants a token"):
            Client(other).snapshot(oldest_s=60)
    finally:
        daemon.terminate()
        daemon.wait(10)


def test_a_process_that_has_just_ended_is_looked_for_anew(env, nvml_sim, children):
    pid = children.python("print('ready')\nimport time\ntime.sleep(600)")
    nvml_sim.machine.gpus[0].processes.append(SimProcess(pid, GIB))
    nvml_sim.save()
    with daemon_on(env, "--interval", "5"):
        assert "by the daemon at" in run("ps", env=env).stderr
        children.child(pid).kill()
        children.child(pid).wait(10)
        nvml_sim.machine.gpus[0].processes.pop()
        nvml_sim.save()
        told = run("ps", "--json", env=env)
        assert pid not in [row["pid"] for row in json.loads(told.stdout)["processes"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_another_users_program_at_the_daemons_place_is_not_believed(tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    place = tmp_path / "s"
    listening.bind(str(place))
    # The kernel notes who begins to listen.
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        listening.listen(8)
        signal.pause()
        os._exit(0)
    try:
        until(lambda: _connects(place))
        with pytest.raises(NoAnswerError, match=r"another user's program \(uid 65534\)"):
            Client(place).snapshot(oldest_s=8)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        listening.close()


def _connects(place):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True


def lives(pid):
    stat = read_stat(PROC, pid)
    return stat is not None and stat.state != "Z"


def test_a_policy_names_an_orphan_first_and_ends_it_once_it_says_so(
    env, nvml_sim, children, tmp_path
):
    pid = children.orphan()
    working = children.python("print('ready')\nimport time\ntime.sleep(600)")
    for gpu in nvml_sim.machine.gpus:
        gpu.processes.clear()
    nvml_sim.machine.gpus[3].processes += [SimProcess(pid, 17 * GIB), SimProcess(working, GIB)]
    nvml_sim.save()
    policy, history = tmp_path / "reclaim.toml", tmp_path / "history.sqlite3"
    policy.write_text('[[reclaim]]\nusers = ["*", "root"]\nheld_longer_than = "1s"\n')
    more = ("--inspect", "0.5", "--history", str(history), "--reclaim-policy", str(policy))
    with daemon_on(env, *more) as daemon:
        daemon.wait_for('gpudoctor_reclaim_acts_total{mode="dry-run",result="would_end"} 1')
        assert lives(pid)
        policy.write_text(policy.read_text() + 'mode = "kil"\n')
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        policy.write_text(policy.read_text().replace("kil", "kill"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for('gpudoctor_reclaim_acts_total{mode="kill",result="ended"} 1')
        assert not lives(pid)
        assert lives(working)
        daemon.end()
        log = daemon.process.stderr.read()
    assert f"WARNING: reclaim (dry-run): would end pid {pid} of root" in log
    assert "reclaim.toml, line 4: mode is 'kil'" in log
    assert f"WARNING: reclaim (kill): ended pid {pid} of root" in log
    assert "torchrun worker whose launcher died" in log
    told = json.loads(run("history", "--file", str(history), "--json", env=env).stdout)
    notes = [(one["name"], one["pid"]) for one in told["notes"] if one["kind"] == "reclaim"]
    assert notes == [("dry-run", pid), ("kill", pid)]
    [at] = json.loads((tmp_path / "gpudoctor" / "reclaimed.json").read_text())["ended_at"]
    assert abs(time.time() - at) < 300


def test_a_policy_that_cannot_be_used_keeps_the_daemon_from_starting(env, tmp_path):
    policy = tmp_path / "reclaim.toml"
    policy.write_text('[[reclaim]]\nuser = ["ana"]\n')
    done = run("serve", "--reclaim-policy", str(policy), "--listen", "127.0.0.1:0", env=env)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {policy}, line 2: unknown: user\n")
    assert "hint: Did you mean users?" in done.stderr
    off = ("--reclaim-policy", str(policy), "--inspect", "0")
    assert "nothing can be left over where nobody looks" in run("serve", *off, env=env).stderr
