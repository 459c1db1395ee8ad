"""The daemon on the simulated driver, while that driver fails in the ways that drivers do."""

from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest

from gpudoctor.host.interpreter import find
from tests.cli.serving import serving

FAST = ("--interval", "0.2")


def _version_of(python):
    asked = (python, "-c", "import platform; print(platform.python_version())")
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def daemon(nvml_sim):
    with serving(*FAST, root=(), env=nvml_sim.env) as running:
        running.wait_for("gpudoctor_gpu_up{")
        yield running


def uuid(sim, index):
    return str(sim.machine.gpus[index].uuid)


def series_of(text, name):
    return [line for line in text.splitlines() if re.match(rf"{name}[ {{]", line)]


def test_eight_gpus_have_their_readings(daemon, nvml_sim):
    text = daemon.wait_for("gpudoctor_gpu_sm_active_ratio{")  # which takes two samples
    assert len(series_of(text, "gpudoctor_gpu_up")) == 8
    for name in (
        "power_usage_watts",
        "temperature_celsius",
        "memory_used_bytes",
        "sm_active_ratio",
    ):
        assert len(series_of(text, f"gpudoctor_gpu_{name}")) == 8, name
    assert series_of(text, "gpudoctor_gpu_fan_ratio") == []
    assert 'source="nvml"' in text


def test_a_gpu_that_hangs_is_marked_and_loses_its_readings_while_the_others_go_on(daemon, nvml_sim):
    nvml_sim.machine.hang("nvmlDeviceGetPowerUsage", 600, gpu=2)
    down = f'gpudoctor_gpu_up{{uuid="{uuid(nvml_sim, 2)}"}} 0'
    text = daemon.wait_for(down)
    assert len(series_of(text, "gpudoctor_gpu_power_usage_watts")) == 7
    assert f'gpudoctor_gpu_state_info{{uuid="{uuid(nvml_sim, 2)}",state="stale"}} 1' in text
    first = float(series_of(text, "gpudoctor_samples_total")[0].split()[1])
    time.sleep(1)
    later = float(series_of(daemon.get("metrics"), "gpudoctor_samples_total")[0].split()[1])
    assert later > first
    nvml_sim.machine.clear_faults()
    daemon.wait_for(down[:-1] + "1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_within_two_seconds_while_a_driver_call_hangs(daemon, nvml_sim, number):
    nvml_sim.machine.hang("*", 600)
    time.sleep(0.5)
    code, seconds = daemon.end(number)
    assert code == 0
    assert seconds < 2


def test_a_lost_gpu_is_marked_and_comes_back(daemon, nvml_sim):
    nvml_sim.machine.lose(5)
    name = uuid(nvml_sim, 5)
    text = daemon.wait_for(f'gpudoctor_gpu_state_info{{uuid="{name}",state="lost"}} 1')
    assert len(series_of(text, "gpudoctor_gpu_memory_used_bytes")) == 7
    nvml_sim.machine.find(5)
    daemon.wait_for(f'gpudoctor_gpu_up{{uuid="{name}"}} 1')


def test_an_xid_is_a_counter_with_a_time(daemon, nvml_sim):
    begun = time.time()
    nvml_sim.machine.xid(3, 79)
    text = daemon.wait_for(
        f'gpudoctor_gpu_xid_errors_total{{uuid="{uuid(nvml_sim, 3)}",xid="79"}} 1'
    )
    [line] = series_of(text, "gpudoctor_gpu_xid_last_timestamp_seconds")
    assert begun - 1 <= float(line.rsplit(" ", 1)[1]) <= time.time()
    nvml_sim.machine.xid(3, 79)
    daemon.wait_for('xid="79"} 2')


def test_a_process_that_ends_takes_its_series_with_it(nvml_sim):
    with serving(*FAST, "--processes", "50", root=(), env=nvml_sim.env) as daemon:
        pid = nvml_sim.machine.gpus[0].processes[0].pid
        daemon.wait_for(f'pid="{pid}"')
        nvml_sim.machine.gpus[0].processes.pop(0)
        nvml_sim.save()
        until = time.monotonic() + 10
        while f'pid="{pid}"' in daemon.get("metrics"):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_driver_may_go_and_come_back(daemon, nvml_sim):
    nvml_sim.machine.driver_away()
    text = daemon.wait_for(f'gpudoctor_gpu_up{{uuid="{uuid(nvml_sim, 7)}"}} 0')
    assert series_of(text, "gpudoctor_gpu_power_usage_watts") == []
    nvml_sim.machine.driver_back()
    daemon.wait_for(f'gpudoctor_gpu_up{{uuid="{uuid(nvml_sim, 0)}"}} 1')


def test_a_driver_that_comes_later_is_waited_for(nvml_sim):
    nvml_sim.machine.driver_away()
    with serving(*FAST, "--wait-for-driver", root=(), env=nvml_sim.env) as daemon:
        assert "gpudoctor_sampling_up 0" in daemon.get("metrics")
        nvml_sim.machine.driver_back()
        daemon.wait_for("gpudoctor_gpu_up{")
        assert daemon.end()[0] == 0


def test_time_held_down_single_links_unlisted_memory_and_the_installed_torch_are_told(nvml_sim):
    gpu = nvml_sim.machine.gpus[3]
    gpu.update({"violation.0": 2_500_000_000, "violation.hw_thermal": 8_000_000_000})
    gpu.memory_used = 9 << 30
    gpu.processes.clear()
    nvml_sim.save()
    options = (*FAST, "--inspect", "1", "--nvlink-links")
    with serving(*options, root=(), env=nvml_sim.env) as running:
        text = running.wait_for("gpudoctor_environment_info{")
    here = f'uuid="{uuid(nvml_sim, 3)}"'
    held = "gpudoctor_gpu_clock_event_seconds_total"
    assert f'{held}{{{here},reason="sw_power_cap"}} 2.5\n' in text
    assert f'{held}{{{here},reason="hw_thermal_slowdown"}} 8.0\n' in text
    assert f'{held}{{{here},reason="thermal"' not in text
    assert f"gpudoctor_gpu_unlisted_memory_bytes{{{here}}} {9 << 30}\n" in text
    assert len(series_of(text, "gpudoctor_gpu_nvlink_link_transmit_bytes_total")) == 8 * 18
    [line] = series_of(text, "gpudoctor_environment_info")
    # The Python that a user here would start, which need not be the one that runs this.
    assert f'python="{_version_of(find().executable)}"' in line
