from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.host.holders import holders, minors, only_gpu_files
from gpudoctor.host.lineage import LineageReader, exists
from gpudoctor.host.proc_files import parse_cgroup, parse_stat, read_stat

OWN = os.getpid()


def test_a_name_with_brackets_and_spaces_does_not_shift_the_fields():
    fields = ["S", "1", "7", "8", "34816", "-1", "0", *["0"] * 4, "120", "30", *["0"] * 6, "5000"]
    stat = parse_stat(f"42 (a) b (c)) {' '.join(fields)} 0 0")
    assert (stat.pid, stat.name, stat.state, stat.parent_pid) == (42, "a) b (c)", "S", 1)
    assert (stat.group, stat.session, stat.terminal) == (7, 8, 34816)
    assert (stat.cpu_ticks, stat.start_ticks) == (150, 5000)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("0::/system.slice/train.service", "system_unit", "train.service"),
        ("0::/user.slice/user-1.slice/session-7.scope", "login_session", "7"),
        (
            "0::/user.slice/user-1.slice/user@1.service/app.slice/jupyter.service",
            "user_unit",
            "jupyter.service",
        ),
        ("8:memory:/slurm/uid_1000/job_4711/step_0/task_0", "slurm_job", "4711"),
        ("0::/system.slice/slurmstepd.scope/job_99/step_0/user/task_0", "slurm_job", "99"),
        (f"0::/system.slice/docker-{'ab' * 32}.scope", "container", "ab" * 32),
        (f"4:memory:/docker/{'cd' * 32}", "container", "cd" * 32),
        (
            f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{'ef' * 32}.scope",
            "container",
            "ef" * 32,
        ),
        (f"0::/machine.slice/libpod-{'01' * 32}.scope/container", "container", "01" * 32),
        ("0::/", "system_unit", None),
        ("0::/user.slice/user-1.slice/session-7.scope", "system_unit", None),
    ],
)
def test_a_control_group_tells_who_owns_the_process(line, field, value):
    assert getattr(parse_cgroup(f"{line}\n"), field) == value


def test_of_version_1_the_richest_path_counts():
    text = "2:cpu:/\n1:name=systemd:/system.slice/train.service\n0::/\n"
    assert parse_cgroup(text).system_unit == "train.service"


def test_only_the_gpus_own_files_are_counted():
    files = ["/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/null", "socket:[1]"]
    files += ["/home/ana/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia3"]
    found = only_gpu_files(files)
    assert found == (
        "/dev/nvidia-caps/nvidia-cap1",
        "/dev/nvidia-uvm",
        "/dev/nvidia3",
        "/dev/nvidiactl",
    )
    assert minors(found) == frozenset({3})


def test_holders_are_those_with_a_numbered_file_open(tmp_path):
    for pid, target in ((7, "/dev/nvidia0"), (8, "/dev/nvidiactl"), (9, "/dev/null")):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "5").symlink_to(target)
    (tmp_path / "version").touch()
    assert holders(tmp_path) == {7: ("/dev/nvidia0",)}


def test_our_own_lineage_leads_to_the_first_process():
    found = LineageReader().read(OWN)
    assert found is not None
    assert found.parent_pid == os.getppid()
    assert found.ancestors[0].pid == os.getppid()
    assert [one.pid for one in found.ancestors].count(1) <= 1
    assert found.uid == os.getuid()
    assert found.session == os.getsid(0)
    assert abs((found.key.started or 0) - _started()) < 2


def _started() -> float:
    stat = read_stat(Path("/proc"), OWN)
    assert stat is not None
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + stat.start_ticks / os.sysconf("SC_CLK_TCK")


def child(code: str, **options):
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_markers_ports_and_ignored_signals_are_read_of_a_real_process():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = (
        "import signal, socket, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"s = socket.create_server(('127.0.0.1', {port}))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    env = {**os.environ, "RANK": "3", "TORCHELASTIC_RUN_ID": "r1", "SECRET": "s"}
    process = child(code, env=env, start_new_session=True)
    try:
        found = LineageReader().read(process.pid)
        assert found is not None
        assert found.ignores_hangup
        assert found.listening == (port,)
        assert found.marker("RANK") == "3"
        assert found.marker("SECRET") is None
        assert found.session == process.pid
        assert found.session_leader_alive
        assert found.thread_states
        process.send_signal(signal.SIGSTOP)
        for _ in range(200):
            found = LineageReader().read(process.pid)
            if found is not None and found.state == "T":
                break
            time.sleep(0.01)
        assert found is not None
        assert found.state == "T"
    finally:
        process.kill()
        process.communicate()
    assert LineageReader().read(process.pid) is None


def test_a_look_leaves_out_the_pids_that_do_not_exist():
    look = LineageReader().look([OWN, 4_194_303])
    assert [one.key.pid for one in look.processes] == [OWN]
    assert look.unreachable == frozenset()
    assert look.of(OWN) is not None
    assert look.of(1) is None


def test_a_pid_that_lives_exists_and_one_beyond_all_does_not():
    assert exists(OWN)
    assert not exists(4_194_303)


def test_a_login_that_logind_has_closed_is_seen(tmp_path):
    proc, run = tmp_path / "proc", tmp_path / "run"
    (proc / "7").mkdir(parents=True)
    fields = " ".join(["S", "1", "7", "7", *["0"] * 40])
    (proc / "7/stat").write_text(f"7 (python) {fields}")
    (proc / "7/cgroup").write_text("0::/user.slice/user-1.slice/session-7.scope\n")
    (run / "systemd/sessions").mkdir(parents=True)
    record = run / "systemd/sessions/7"
    reader = LineageReader(proc, run)

    def closed() -> bool:
        found = reader.read(7)
        assert found is not None
        return found.login_closed

    assert closed()
    record.write_text("UID=1\nSTATE=active\n")
    assert not closed()
    record.write_text("UID=1\nSTATE=closing\n")
    assert closed()


def test_without_logind_no_login_counts_as_closed(tmp_path):
    proc = tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    fields = " ".join(["S", "1", "7", "7", *["0"] * 40])
    (proc / "7/stat").write_text(f"7 (python) {fields}")
    (proc / "7/cgroup").write_text("0::/user.slice/user-1.slice/session-7.scope\n")
    found = LineageReader(proc, tmp_path / "run").read(7)
    assert found is not None
    assert not found.login_closed
    assert found.gpu_files is None
    assert found.markers is None
