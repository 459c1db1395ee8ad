"""Running a reset: what is run, and what is not. A script stands in for nvidia-smi."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.reset import ResetOutcome
from gpudoctor.reclaim import reset as module
from gpudoctor.reclaim.reset import reset
from tests.builders import snapshot
from tests.reclaim.test_reset_conditions import GOOD, JOB, card


@pytest.fixture
def smi(tmp_path):
    script = tmp_path / "nvidia-smi"

    def write(body: str):
        script.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/log\n{body}\n')
        script.chmod(0o755)
        return replace(GOOD, nvidia_smi=str(script))

    write.ran = lambda: (tmp_path / "log").exists()
    return write


def healthy():
    return snapshot(card(health={"recovery_action": "none"}))


def test_a_gpu_that_is_well_afterwards_was_reset(smi):
    assert reset(smi("exit 0"), healthy, limit_s=5).outcome is ResetOutcome.RESET


def test_a_condition_in_the_way_runs_nothing(smi):
    scene = replace(smi("exit 0"), interrupts=(JOB,))
    assert reset(scene, healthy, limit_s=5).outcome is ResetOutcome.REFUSED
    assert not smi.ran()


def test_our_own_open_handle_runs_nothing(smi, monkeypatch):
    monkeypatch.setattr(module, "gpu_files", lambda *_: ("/dev/nvidia0", "/dev/nvidiactl"))
    report = reset(smi("exit 0"), healthy, limit_s=5)
    assert report.outcome is ResetOutcome.NOT_RESET
    assert "gpudoctor itself" in report.detail
    assert not smi.ran()


def test_a_driver_that_does_not_open_afterwards_is_sick(smi):
    from gpudoctor.nvml.api import NvmlUnavailableError

    def gone():
        raise NvmlUnavailableError("the NVIDIA driver does not answer")

    report = reset(smi("exit 0"), gone, limit_s=5)
    assert report.outcome is ResetOutcome.SICK
    assert "does not answer" in report.detail


def test_a_program_that_cannot_be_started_resets_nothing(tmp_path):
    scene = replace(GOOD, nvidia_smi=str(tmp_path / "absent"))
    assert reset(scene, healthy, limit_s=5).outcome is ResetOutcome.NOT_RESET


def test_what_it_prints_is_kept_in_part_however_much_it_is(smi):
    report = reset(smi("yes 'a line' | head -c 300000; exit 9"), healthy, limit_s=20)
    assert report.outcome is ResetOutcome.NOT_RESET
    assert 0 < len(report.output) <= 4000
