"""The GPUs of a script, seen from outside: on made-up snapshots and on the simulated driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gpudoctor.model.profile import GpuUse
from gpudoctor.model.readings import ClockReading, UtilizationReading
from gpudoctor.profile import timeline
from gpudoctor.profile.rules.gpus import idle, throttled
from gpudoctor.profile.timeline import GpuWatch, descends, gpu_uses
from tests.builders import GIB, device, process, snapshot
from tests.nvml_sim.presets import eight_h100
from tests.profile.build import profile

US = os.getpid()


def watched(tmp_path, *snapshots) -> tuple[GpuUse, ...]:
    watch = GpuWatch(US)
    for one in snapshots:
        watch.take(one)
    watch.write(tmp_path)
    return gpu_uses(tmp_path)


def test_only_gpus_on_which_the_script_holds_memory_are_kept(tmp_path):
    seen = snapshot(device(0), device(1), processes=(process(US, 1), process(1, 0)))
    assert [gpu.index for gpu in watched(tmp_path, seen)] == [1]


def test_looks_are_summed_and_heat_is_told_from_a_power_cap(tmp_path):
    def look(ratio, *reasons):
        one = device(
            0, utilization=UtilizationReading(ratio), clocks=ClockReading(1e9, reasons=reasons)
        )
        return snapshot(one, processes=(process(US, 0),))

    (gpu,) = watched(
        tmp_path,
        look(0.0, "idle"),
        look(0.9, "sw_power_cap"),
        look(0.9, "hw_thermal_slowdown"),
        look(1.0),
    )
    assert gpu.looks == 4
    assert gpu.utilization_mean_ratio == pytest.approx(0.7)
    assert (gpu.idle_ratio, gpu.throttled_ratio) == (0.25, 0.25)
    assert gpu.throttle_reasons == ("hw_thermal_slowdown",)
    assert gpu.memory_peak_bytes == 20 * GIB


def test_what_the_gpu_does_not_give_stays_unknown(tmp_path):
    bare = device(0, utilization=UtilizationReading(), clocks=ClockReading())
    (gpu,) = watched(tmp_path, snapshot(bare, processes=(process(US, 0),)))
    assert (gpu.utilization_mean_ratio, gpu.idle_ratio, gpu.throttled_ratio) == (None, None, None)
    assert gpu.sm_active_mean_ratio is None


def test_a_script_without_a_gpu_leaves_no_timeline(tmp_path):
    assert watched(tmp_path, snapshot()) == ()
    assert list(tmp_path.iterdir()) == []


def test_long_runs_stay_bounded_and_count_all_looks(tmp_path, monkeypatch):
    monkeypatch.setattr(timeline, "_MOST_POINTS", 8)
    (gpu,) = watched(tmp_path, *[snapshot(processes=(process(US, 0),))] * 100)
    assert gpu.looks == 100
    kept = json.loads((tmp_path / timeline.FILE).read_bytes())["gpus"][0]
    assert len(kept["points"]) <= 8
    assert kept["stride"] >= 16


def test_a_grandchild_descends_from_us_and_init_does_not():
    code = "import subprocess, sys; subprocess.run(['sleep', '20'])"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        assert descends(child.pid, US)
        assert not descends(US, child.pid)
        assert not descends(1, US)
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def use(**changes) -> GpuUse:
    values = {"looks": 20, "utilization_mean_ratio": 0.9, "idle_ratio": 0.1, "throttled_ratio": 0.0}
    return GpuUse(0, "GPU-0", "H100", interval_seconds=0.5, **{**values, **changes})


@pytest.mark.parametrize(
    ("rule", "fires", "silent"),
    [
        (
            throttled,
            {"throttled_ratio": 0.4, "throttle_reasons": ("hw_slowdown",)},
            {"throttled_ratio": None},
        ),
        (throttled, {"throttled_ratio": 0.11}, {"throttled_ratio": 0.05}),
        (idle, {"utilization_mean_ratio": 0.1}, {"utilization_mean_ratio": 0.5}),
        (idle, {"utilization_mean_ratio": 0.0}, {"utilization_mean_ratio": None}),
        (idle, {"utilization_mean_ratio": 0.1}, {"utilization_mean_ratio": 0.1, "looks": 3}),
    ],
)
def test_a_gpu_is_blamed_above_the_threshold_and_not_below(rule, fires, silent):
    assert len(list(rule(profile(gpus=(use(**fires),))))) == 1
    assert list(rule(profile(gpus=(use(**silent),)))) == []


@pytest.mark.integration
def test_the_timeline_follows_the_pid_of_the_script_on_the_simulated_driver(nvml_sim, tmp_path):
    nvml_sim.use(eight_h100(pids=[]))
    script = tmp_path / "job.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "time.sleep(5)\n"
    )
    told = tmp_path / "pid"
    command = [sys.executable, "-m", "gpudoctor", "profile", "--json", "--python", sys.executable]
    job = subprocess.Popen(
        [*command, str(script), str(told)], env=nvml_sim.env, stdout=subprocess.PIPE, text=True
    )
    while not (told.exists() and told.read_text()):
        assert job.poll() is None
        time.sleep(0.01)
    nvml_sim.use(eight_h100(pids=[1, int(told.read_text())]))
    gpu = nvml_sim.machine.gpus[1]
    gpu.utilization, gpu.clock_reasons = 10, 0x40
    nvml_sim.save()
    seen = json.loads(job.communicate(timeout=30)[0])
    assert [gpu["index"] for gpu in seen["gpus"]] == [1]
    assert seen["gpus"][0]["looks"] >= 4
    assert {one["id"] for one in seen["findings"]} >= {"device.throttled"}


@pytest.mark.integration
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_threads_beside_take_no_signal_from_the_script(number, code, nvml_sim, tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import time\nprint('on', flush=True)\ntime.sleep(30)\n")
    job = subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", "profile", "--python", sys.executable, str(script)],
        env=nvml_sim.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "on\n"
    time.sleep(1.0)
    job.send_signal(number)
    assert "Program" in job.communicate(timeout=20)[0]
    assert job.returncode == code
