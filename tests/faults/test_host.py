"""What the operating system does to a command: full disks, closed pipes, folders that may not be written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from tests.faults.machines import jumping_clock
from tests.libraries import NoCompilerError
from tests.nvml_sim.machine import SimProcess
from tests.nvml_sim.presets import eight_h100

GPUDOCTOR = (sys.executable, "-m", "gpudoctor")
SAYING = [
    ("ps",),
    ("ps", "--json"),
    ("--once",),
    ("visible", "--json", "--timeout", "5"),
    ("orphans", "--json", "--window", "0"),
    ("metrics",),
    ("schema", "ps"),
    ("completion", "bash"),
    ("service", "show"),
    ("--help",),
    ("--version",),
]


def ended(sim, *words: str, **more) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*GPUDOCTOR, *words], env={**sim.env, **more.pop("env", {})}, text=True, timeout=60,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


@pytest.mark.integration
@pytest.mark.parametrize("words", SAYING, ids=" ".join)
def test_a_full_disk_under_stdout_is_an_error_in_words(nvml_sim, words):
    with open("/dev/full", "w") as full:
        done = ended(nvml_sim, *words, stdout=full)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("words", SAYING, ids=" ".join)
def test_a_reader_that_went_away_is_no_error(nvml_sim, words):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        done = ended(nvml_sim, *words, stdout=gone)
    assert done.stderr == ""
    assert done.returncode in (0, 1, 141)


@pytest.mark.integration
@pytest.mark.parametrize("words", [("ps",), ("ps", "--json"), ("--version",)], ids=" ".join)
def test_a_stdout_that_was_closed_at_the_start_is_nobody_s_error(nvml_sim, words):
    done = ended(nvml_sim, *words, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def _no_file_over(size: int):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.integration
@pytest.mark.parametrize(
    "words",
    [
        ("record", "r.ndjson", "--duration", "1", "--interval", "0.2"),
        ("dashboards", "--out", "out"),
        ("profile", "--out", "out", "tiny.py"),
    ],
    ids=lambda words: words[0],
)
def test_a_disk_that_fills_while_a_file_is_written_is_an_error_in_words(nvml_sim, tmp_path, words):
    (tmp_path / "tiny.py").write_text("print(1)\n")
    done = ended(
        nvml_sim, *words, stdout=subprocess.PIPE, cwd=tmp_path, preexec_fn=_no_file_over(2000)
    )
    assert done.returncode in (1, 2, 3), (done.stdout, done.stderr)
    assert "error: " in done.stderr, (done.stdout, done.stderr)


@pytest.mark.integration
@pytest.mark.parametrize(
    "words",
    [("ps",), ("check", "--json", "--python", sys.executable), ("orphans", "--window", "0")],
    ids=lambda words: words[0],
)
def test_a_state_folder_in_which_nothing_can_be_made_stops_nobody_who_only_looks(
    nvml_sim, tmp_path, words
):
    # A file in the folder's place: root, too, can make nothing below it.
    place = tmp_path / "state"
    place.write_text("")
    names = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "HOME")
    done = ended(
        nvml_sim, *words, stdout=subprocess.PIPE, env=dict.fromkeys(names, str(place / "in"))
    )
    assert done.returncode in (0, 1), done.stderr


STAT = "%d (python) S 1 5 5 0 -1 0 1 1 1 1 7 3 1 1 20 0 1 0 900 1000 50" + " 1" * 13


def test_a_process_table_of_ten_thousand_is_not_walked_for_the_few_on_the_gpus(tmp_path):
    for pid in range(2, 10_002):
        (tmp_path / str(pid)).mkdir()
    for pid in (17, 9_000):
        (tmp_path / str(pid) / "stat").write_text(STAT % pid)
    host = LocalHost(tmp_path)
    begun = time.perf_counter()
    found = host.processes(frozenset({17, 9_000, 50_000}))
    assert sorted(found) == [17, 9_000]
    assert time.perf_counter() - begun < 0.1


def test_processes_that_come_and_go_between_the_driver_and_proc_leave_only_whole_rows(nvml_sim):
    machine = eight_h100()
    del machine.gpus[1:]
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    try:
        for _ in range(20):
            child = subprocess.Popen(["/bin/true"])
            machine.gpus[0].processes = [SimProcess(child.pid, 1 << 20), SimProcess(os.getpid(), 7)]
            nvml_sim.use(machine)
            rows = {row.pid: row for row in sampler.once().processes}
            child.wait()
            assert rows[os.getpid()].visible
            gone = rows.get(child.pid)
            assert gone is None or gone.memory_used_bytes == 1 << 20
        machine.gpus[0].processes = []
        nvml_sim.use(machine)
        assert sampler.once().processes == ()
    finally:
        sampler.stop()


def test_a_driver_that_is_reloaded_between_two_looks_is_followed(nvml_sim):
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    try:
        assert len(sampler.once().devices) == 8
        nvml_sim.machine.driver_away()
        away = sampler.once()
        assert "ok" not in [device.state for device in away.devices]
        nvml_sim.machine.driver_back()
        until = time.monotonic() + 10
        back = away
        while [device.state for device in back.devices] != ["ok"] * 8 or any(
            device.memory.used_bytes is None for device in back.devices
        ):
            assert time.monotonic() < until, back
            time.sleep(0.1)
            back = sampler.once()
    finally:
        sampler.stop()


def test_mig_that_is_switched_on_and_off_between_two_looks_leaves_nothing_of_before(nvml_sim):
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    gpu = nvml_sim.machine.gpus[0]
    try:
        before = sampler.once().devices[0]
        gpu.update({"mig.current": 1, "mig.pending": 1, "mig.max": 7, "utilization.gpu": None})
        gpu.processes = []
        nvml_sim.save()
        during = sampler.once()
        assert during.devices[0].utilization.gpu_ratio is None
        assert not [row for row in during.processes if any(use.index == 0 for use in row.gpus)]
        gpu.update({"mig.current": 0, "mig.pending": 0, "utilization.gpu": 33})
        nvml_sim.save()
        after = sampler.once().devices[0]
        assert after.utilization.gpu_ratio == 0.33
        assert after.uuid == before.uuid
    finally:
        sampler.stop()


def test_a_clock_that_jumps_back_leaves_no_negative_age(nvml_sim, monkeypatch):
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    try:
        sampler.once()
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 86_400)
        seen = sampler.once()
        assert all(device.state == "ok" for device in seen.devices)
        assert seen.duration_seconds is None or seen.duration_seconds >= 0
        assert all(one.duration_seconds >= 0 for one in seen.collectors)
    finally:
        sampler.stop()


_LOOKS = """
import pathlib, sys, time
from gpudoctor.host.procs import LocalHost
from gpudoctor.reclaim.identity import identity
clock, pid = pathlib.Path(sys.argv[1]), int(sys.argv[2])
host = LocalHost()
for ahead in (0, 86_400, 86_400, -864_000, 0):
    clock.write_text(str(ahead))
    host.reading()
    seen = host.processes(frozenset({pid}))[pid]
    print(identity(pid, seen.key.started), time.time() - seen.key.started, seen.cpu_ratio)
"""


def test_a_process_is_the_same_and_as_old_when_the_clock_was_set_meanwhile(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _LOOKS, str(tmp_path / "clock"), str(os.getpid())],
        env={**os.environ, **clock(tmp_path / "clock")}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    looks = [line.split() for line in done.stdout.splitlines()]
    assert len(looks) == 5
    assert len({ticks for ticks, *_ in looks}) == 1
    ages = [float(age) for _, age, _ in looks]
    assert min(ages) > 0 and max(ages) - min(ages) < 60
    # None only where two looks have the same time.
    assert all(ratio == "None" or 0 <= float(ratio) < 1000 for *_, ratio in looks)


_SHARES = """
import pathlib, sys
from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
for ahead in (0, -86_400, 86_400, 0):
    pathlib.Path(sys.argv[1]).write_text(str(ahead))
    row = next(row for row in sampler.once().processes if row.pid == int(sys.argv[2]))
    print(row.gpus[0].sm_ratio)
sampler.stop()
"""


def test_a_process_at_work_is_so_too_after_the_clock_was_set(nvml_sim, tmp_path):
    nvml_sim.machine.gpus[0].processes = [SimProcess(os.getpid(), 1 << 30, sm=40)]
    nvml_sim.save()
    done = subprocess.run(
        [sys.executable, "-c", _SHARES, str(tmp_path / "clock"), str(os.getpid())],
        env={**nvml_sim.env, **clock(tmp_path / "clock")}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["0.4"] * 4), done.stderr


@pytest.mark.integration
def test_a_daemon_answers_for_the_same_processes_after_the_clock_was_set(nvml_sim, tmp_path):
    socket, file = tmp_path / "s", tmp_path / "clock"
    nvml_sim.machine.gpus[0].processes = [SimProcess(os.getpid(), 1 << 30)]
    nvml_sim.save()
    env = {**nvml_sim.env, **clock(file), "GPUDOCTOR_SOCKET": str(socket)}
    serve = [*GPUDOCTOR, "serve", "--listen", "127.0.0.1:0", "--interval", "0.2", "--inspect", "0"]
    # Only the daemon can know of the GPUs: without it there is no driver.
    asking = {**env, "LD_LIBRARY_PATH": "", "GPUDOCTOR_NVML_SIM_STATE": ""}
    with subprocess.Popen(
        serve, env=env, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as daemon:
        try:
            assert daemon.stderr is not None
            while "Serving on" not in daemon.stderr.readline():
                assert daemon.poll() is None
            for ahead in (0, 86_400, -864_000):
                file.write_text(str(ahead))
                row = row_from_daemon(asking)
                assert row["visible"]
                assert row["user"]
        finally:
            daemon.terminate()


def row_from_daemon(env):
    """Our own row, once the daemon has looked again since."""
    until = time.monotonic() + 30
    while True:
        done = subprocess.run(
            [*GPUDOCTOR, "ps", "--json"], env=env, capture_output=True, text=True, timeout=60
        )
        if done.returncode == 0:
            (row,) = [
                row for row in json.loads(done.stdout)["processes"] if row["pid"] == os.getpid()
            ]
            return row
        assert time.monotonic() < until, done.stderr
        time.sleep(0.2)


def clock(file):
    try:
        return jumping_clock(file)
    except NoCompilerError as missing:
        pytest.skip(str(missing))
