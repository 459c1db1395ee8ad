from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gpudoctor.host.driver import driver_report, module_report
from gpudoctor.model.environment import DriverKind
from gpudoctor.model.snapshot import DeviceState, DriverFacts
from gpudoctor.nvml.api import NvmlCallError, NvmlUnavailableError
from gpudoctor.nvml.replay import ReplayMachine
from tests.builders import device, snapshot, uuid_of

OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs)\n"
    "GCC version:  gcc version 12.3.0\n"
)
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 2023\n"
)


class Still:
    """A timeline that stands still."""

    source = "replay"

    def __init__(self, shown):
        self.shown = shown

    def at(self, elapsed_s):
        return self.shown

    def events_until(self, elapsed_s):
        return ()


@pytest.mark.parametrize(
    ("text", "version", "kind"),
    [
        (OPEN, "580.95.05", DriverKind.OPEN),
        (PROPRIETARY, "535.104.05", DriverKind.PROPRIETARY),
        ("NVRM version: something new\n", None, DriverKind.PROPRIETARY),
        ("", None, DriverKind.NONE),
    ],
)
def test_the_kernel_module_tells_its_version_and_kind(tmp_path, text, version, kind):
    if text:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        (tmp_path / "proc/driver/nvidia/version").write_text(text)
    report = module_report(tmp_path)
    assert (report.module_version, report.module_kind) == (version, kind)


def test_loaded_modules_are_named_and_nouveau_is_noticed(tmp_path):
    (tmp_path / "proc").mkdir()
    lines = (
        "nvidia_uvm 1 0 - Live 0x0",
        "nvidia 1 1 nvidia_uvm, Live 0x0",
        "nouveau 1 0 - Live 0x0",
    )
    (tmp_path / "proc/modules").write_text("\n".join((*lines, "nvidiafb 1 0 - Live 0x0")))
    report = module_report(tmp_path)
    assert report.modules_loaded == ("nvidia", "nvidia_uvm")
    assert report.nouveau_loaded


def test_no_driver_is_a_fact_of_the_report(tmp_path):
    error = NvmlUnavailableError("no driver", cause="no library", hint="install", code=12)
    report = driver_report(error, tmp_path)
    assert report.nvml_error == "no driver"
    assert (report.nvml_cause, report.nvml_hint, report.nvml_code) == ("no library", "install", 12)
    assert report.gpus == ()


def test_every_gpu_is_described(tmp_path):
    machine = ReplayMachine(Still(snapshot(device(0), device(1))))
    report = driver_report(machine, tmp_path)
    assert report.nvml_driver_version == "580.95.05"
    assert report.cuda_version == (13, 0)
    assert [row.facts.uuid for row in report.gpus] == [uuid_of(0), uuid_of(1)]
    assert report.nvml_error is None


def test_a_lost_gpu_keeps_its_facts(tmp_path):
    lost = device(1, state=DeviceState.LOST)
    report = driver_report(ReplayMachine(Still(snapshot(device(0), lost))), tmp_path)
    assert [row.facts.index for row in report.gpus] == [0, 1]
    assert report.gpus[1].mig.enabled is None


class Hanging(ReplayMachine):
    """GPU 1 never answers, GPU 2 fails."""

    def device(self, index):
        if index == 1:
            threading.Event().wait(30)
        if index == 2:
            raise NvmlCallError("nvmlDeviceGetHandleByIndex_v2", 999, "Unknown Error")
        return super().device(index)


def test_a_hung_gpu_and_a_failing_one_are_told_and_the_others_described(tmp_path):
    shown = replace(
        snapshot(device(0), device(1), device(2), device(3)), driver=DriverFacts("1", "2", None)
    )
    begun = time.monotonic()
    report = driver_report(Hanging(Still(shown)), tmp_path, limit_s=0.5)
    assert time.monotonic() - begun < 2
    assert [row.facts.index for row in report.gpus] == [0, 3]
    assert report.nvml_error == (
        "GPU 1: no answer in time; GPU 2: nvmlDeviceGetHandleByIndex_v2: Unknown Error"
    )
