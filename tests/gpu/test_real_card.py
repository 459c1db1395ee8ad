"""What a real card says, compared with what nvidia-smi and torch say of it. Changes no setting."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time

import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler


def smi(*fields: str) -> list[list[str]]:
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text))]


def gpudoctor(*arguments: str, limit: float = 120) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit)


@pytest.fixture
def driver():
    opened = open_nvml()
    yield opened
    opened.close()


def test_facts_are_those_of_nvidia_smi(driver):
    fields = ("uuid", "name", "pci.bus_id", "memory.total", "compute_cap", "vbios_version")
    for index, row in enumerate(smi(*fields)):
        facts = driver.device(index).facts()
        assert [facts.uuid, facts.name, facts.pci_bus_id.upper()] == [*row[:2], row[2].upper()]
        assert facts.memory_total_bytes // 2**20 == int(row[3])
        assert ".".join(map(str, facts.compute_capability)) == row[4]
        assert facts.vbios_version == row[5]


def test_readings_are_near_those_of_nvidia_smi(driver):
    fields = ("memory.used", "temperature.gpu", "power.limit", "clocks.mem", "pcie.link.width.max")
    for index, row in enumerate(smi(*fields)):
        device = driver.device(index)
        assert device.memory().used_bytes / 2**20 == pytest.approx(float(row[0]), abs=64)
        assert device.thermal().gpu_celsius == pytest.approx(float(row[1]), abs=4)
        assert device.power().limit_watts == pytest.approx(float(row[2]), abs=1)
        assert device.clocks().memory_hertz / 1e6 == pytest.approx(float(row[3]), abs=1)
        assert str(device.facts().pcie_width_max) == row[4]


def test_every_collector_answers_within_its_deadline(driver):
    sampler = Sampler(driver, LocalHost())
    for _ in range(3):
        snapshot = sampler.once()
        time.sleep(0.2)
    assert all(device.state == "ok" for device in snapshot.devices)
    assert [outcome for outcome in snapshot.collectors if not outcome.ok] == []


@pytest.fixture
def holder():
    code = (
        "import torch, sys; x = torch.zeros(2**28, device='cuda'); torch.cuda.synchronize();"
        "y = torch.zeros(2**28, device='cuda'); del y; print(torch.cuda.memory_reserved(), flush=True);"
        "sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    reserved = child.stdout.readline()
    assert reserved, "torch cannot use this GPU"
    yield child, int(reserved)
    child.kill()
    child.communicate()


def test_a_process_is_listed_with_at_least_what_torch_reserved(holder):
    child, reserved = holder
    rows = {row["pid"]: row for row in json.loads(gpudoctor("ps", "--json").stdout)["processes"]}
    assert rows[child.pid]["memory_used_bytes"] >= reserved


def test_emptying_the_cache_gives_memory_back_and_the_process_lives(holder):
    child, _ = holder
    before = open_nvml()
    used = before.device(0).memory().used_bytes
    done = gpudoctor("empty-cache", str(child.pid), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert used - before.device(0).memory().used_bytes >= 0.9 * 2**30
    assert child.poll() is None
    before.close()


def test_the_map_of_visible_devices_is_cudas_own():
    answer = json.loads(gpudoctor("visible", "--json", "--python", sys.executable).stdout)
    code = (
        "import torch; print([str(torch.cuda.get_device_properties(i).uuid)"
        " for i in range(torch.cuda.device_count())])"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert asked.returncode == 0, asked.stderr
    assert answer["visible"]
    for row in answer["visible"]:
        assert row["uuid"].removeprefix("GPU-") in asked.stdout


def test_a_healthy_card_has_no_error():
    answer = json.loads(gpudoctor("check", "--json", "--python", sys.executable).stdout)
    errors = [finding for finding in answer["findings"] if finding["severity"] == "error"]
    assert errors == []


def test_a_profile_on_the_gpu_has_device_times(tmp_path):
    out = tmp_path / "session"
    done = gpudoctor(
        "profile", "--python", sys.executable, "--json", "--out", str(out),
        "examples/train_classifier.py", "--epochs", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    window = json.loads(done.stdout)["window"]
    assert any(row["self_device_seconds"] for row in window["operators"])
