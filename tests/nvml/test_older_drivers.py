"""Libraries of older drivers, which lack functions that the newest binding looks up."""

from __future__ import annotations

import json
import subprocess
import sys

import pynvml
import pytest

from tests.nvml_sim.presets import FIRST_PID, GIB, MIB

READ = """
import json
from gpudoctor.nvml.binding import open_nvml
driver = open_nvml()
device = driver.device(0)
memory = device.memory()
print(json.dumps({
    "used": memory.used_bytes,
    "reserved": memory.reserved_bytes,
    "pids": [row.pid for row in device.processes()],
    "clocks": device.clocks().sm_hertz,
    "gpm": device.gpm().sm_active_ratio,
    "fabric": device.health().fabric_state,
    "temperature": device.thermal().gpu_celsius,
    "name": device.facts().name,
}))
"""


def read(env: dict[str, str]) -> dict:
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_memory_v2_the_reserve_is_unknown_and_the_rest_is_there(nvml_sim):
    seen = read(nvml_sim.env_without("nvmlDeviceGetMemoryInfo_v2"))
    assert seen["reserved"] is None
    assert seen["used"] >= 6 * GIB


NEWER_BINDING = pytest.mark.skipif(
    not hasattr(pynvml, "nvmlDeviceGetTemperatureV"), reason="this binding knows one form only"
)


@NEWER_BINDING
@pytest.mark.parametrize("kept", ["v2", "none"])
def test_without_the_newest_process_lists_the_older_ones_are_read(nvml_sim, kept):
    missing = [
        f"nvmlDeviceGet{kind}RunningProcesses_v3" for kind in ("Compute", "Graphics", "MPSCompute")
    ]
    if kept == "none":
        missing += [f"nvmlDeviceGet{kind}RunningProcesses_v2" for kind in ("Compute", "Graphics")]
    seen = read(nvml_sim.env_without(*missing))
    assert seen["pids"] == ([FIRST_PID, FIRST_PID + 8] if kept == "v2" else [])
    assert seen["used"] >= 14 * GIB - 512 * MIB


def test_a_library_from_before_performance_monitoring_still_serves(nvml_sim):
    seen = read(
        nvml_sim.env_without(
            "nvmlGpmQueryDeviceSupport",
            "nvmlDeviceGetGpuFabricInfoV",
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetTemperatureV",
        )
    )
    assert seen["gpm"] is None
    assert seen["fabric"] is None
    assert seen["temperature"] == 30
    assert seen["name"] == "NVIDIA H100 80GB HBM3"


@NEWER_BINDING
def test_a_newer_library_without_the_old_temperature_call_still_gives_it(nvml_sim):
    assert read(nvml_sim.env_without("nvmlDeviceGetTemperature"))["temperature"] == 30
