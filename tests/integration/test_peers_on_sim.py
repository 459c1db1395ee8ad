"""Unmodified nvitop and gpustat on the simulated driver: what they show is what its state says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nvml_sim.fixtures import SimDriver
from tests.nvml_sim.presets import GIB, MIB, eight_h100, mig_a100, mixed

pytestmark = pytest.mark.integration
BIN = Path(sys.executable).parent
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Real processes, since both tools ask the system who a pid is."""
    started = [subprocess.Popen(SLEEP) for _ in range(12)]
    yield [child.pid for child in started]
    for child in started:
        child.kill()
        child.wait()


def run(sim: SimDriver, program: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(BIN / program), *arguments],
        env=(env or sim.env) | {"COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def gpustat(sim: SimDriver) -> list[dict]:
    return json.loads(run(sim, "gpustat", "--json"))["gpus"]


def test_gpustat_agrees_with_the_state(nvml_sim, children):
    machine = nvml_sim.use(eight_h100(pids=children))
    machine.gpus[2].update({"temperature.gpu": 77, "power.usage_mw": 655_000})
    machine.gpus[6].memory_used = 33 * GIB
    nvml_sim.save()
    seen = gpustat(nvml_sim)
    assert len(seen) == 8
    for shown, gpu in zip(seen, machine.gpus, strict=True):
        held = sum(process.memory for process in gpu.processes)
        assert shown["name"] == gpu.name
        assert shown["uuid"] == gpu.uuid
        assert shown["memory.total"] == gpu.memory_total // MIB
        assert shown["memory.used"] == (gpu.memory_used or held) // MIB
        assert shown["utilization.gpu"] == gpu.utilization
        assert shown["temperature.gpu"] == gpu.temperature
        assert shown["power.draw"] == gpu.power_mw // 1000
        pids = {row["pid"]: row["gpu_memory_usage"] for row in shown["processes"]}
        assert pids == {process.pid: process.memory // MIB for process in gpu.processes}
    assert seen[2]["temperature.gpu"] == 77
    assert seen[6]["memory.used"] == 33 * 1024


def test_nvitop_agrees_with_the_state(nvml_sim, children):
    machine = nvml_sim.use(eight_h100(pids=children))
    machine.gpus[5].update({"temperature.gpu": 83, "ecc.uncorrected.volatile": 4})
    nvml_sim.save()
    screen = run(nvml_sim, "nvitop", "-1")
    assert "Driver Version: 580.95.05" in screen
    assert screen.count("H100 80GB HBM3") == 8
    assert re.search(r"00000000:BB:00\.0 Off │ Disabled\s+4", screen)
    assert "83C" in screen
    for index, gpu in enumerate(machine.gpus):
        assert re.search(rf"/ 79\.65GiB │\s+{gpu.utilization}%", screen)
        for process in gpu.processes:
            memory = rf"{process.memory // MIB}MiB"
            row = (
                rf"│\s+{index}\s+{process.pid} C\s+\S+\s+{memory}\s+{process.sm}\s+{process.mem}\s"
            )
            assert re.search(row, screen), f"no row for {process.pid}:\n{screen}"


def test_nvitop_shows_mig_devices(nvml_sim, children):
    nvml_sim.use(mig_a100(pids=children[:3]))
    screen = run(nvml_sim, "nvitop", "-1")
    for profile in ("3g.20gb", "2g.10gb", "1g.5gb"):
        assert profile in screen
    for pid in children[:3]:
        assert re.search(rf"\b{pid} C", screen)


def test_both_live_with_cards_that_tell_little(nvml_sim):
    nvml_sim.use(mixed())
    assert [gpu["name"] for gpu in gpustat(nvml_sim)][3] == "Tesla P40"
    screen = run(nvml_sim, "nvitop", "-1")
    assert "RTX 3090" in screen
    assert "30%" in screen  # its fan


def test_both_live_with_an_older_driver(nvml_sim, children):
    nvml_sim.use(eight_h100(pids=children))
    old = nvml_sim.env_without(
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetProcessesUtilizationInfo",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlGpmSampleGet",
    )
    seen = json.loads(run(nvml_sim, "gpustat", "--json", env=old))["gpus"]
    assert [gpu["temperature.gpu"] for gpu in seen] == [30] * 8
    assert str(children[0]) in run(nvml_sim, "nvitop", "-1", env=old)


def test_nvitop_goes_on_when_a_gpu_is_lost(nvml_sim, children):
    machine = nvml_sim.use(eight_h100(pids=children))
    machine.fault("nvmlDeviceGetMemoryInfo_v2", error=15, gpu=3)
    machine.fault("nvmlDeviceGetMemoryInfo", error=15, gpu=3)
    screen = run(nvml_sim, "nvitop", "-1")
    row = next(line for line in screen.splitlines() if "00000000:5D" in line)
    below = screen.splitlines()[screen.splitlines().index(row) + 1]
    assert "N/A / N/A" in below


def test_gpudoctor_says_of_the_same_state_what_gpustat_and_nvitop_say(nvml_sim, children):
    machine = nvml_sim.use(eight_h100(pids=children))
    machine.gpus[2].update({"utilization.gpu": 63})
    machine.gpus[6].memory_used = 33 * GIB
    nvml_sim.save()
    ours = json.loads(run(nvml_sim, "gpudoctor", "ps", "--json"))
    screen = run(nvml_sim, "nvitop", "-1")
    for device, shown in zip(ours["devices"], gpustat(nvml_sim), strict=True):
        assert (device["name"], device["uuid"]) == (shown["name"], shown["uuid"])
        assert device["memory_used_bytes"] // MIB == shown["memory.used"]
        assert device["memory_total_bytes"] // MIB == shown["memory.total"]
        assert round(device["gpu_ratio"] * 100) == shown["utilization.gpu"]
        held = {
            row["pid"]: use["memory_used_bytes"] // MIB
            for row in ours["processes"]
            for use in row["gpus"]
            if use["uuid"] == device["uuid"]
        }
        assert held == {row["pid"]: row["gpu_memory_usage"] for row in shown["processes"]}
    assert {row["pid"] for row in ours["processes"]} == set(children)
    for row in ours["processes"]:
        assert re.search(rf"\b{row['pid']}\b", screen), "nvitop does not show this pid"
