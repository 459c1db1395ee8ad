"""What reset says, for every way in which it can end."""

from __future__ import annotations

import pytest

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.reset import Interrupted, ResetOutcome, ResetReport, ResetTarget
from gpudoctor.render.reset import report_lines
from tests.builders import GIB

TARGET = ResetTarget(3, "GPU-3", "NVIDIA H100", "00000000:19:00.0")


def text(outcome: ResetOutcome, **changes) -> str:
    known = {
        "targets": (TARGET,),
        "conditions": (Condition("root", Standing.OK, "we are root"),),
        "interrupts": (),
        "commands": ("nvidia-smi --gpu-reset -i GPU-3",),
        "outcome": outcome,
        "seconds": 3.0,
    }
    return "\n".join(line.plain for line in report_lines(ResetReport(**(known | changes))))


@pytest.mark.parametrize("outcome", ResetOutcome)
def test_every_end_has_words_and_names_the_gpu(outcome):
    assert "GPU 3" in text(outcome)


@pytest.mark.parametrize("outcome", [ResetOutcome.CHECKED, ResetOutcome.REFUSED])
def test_where_nothing_was_run_the_exact_command_is_told(outcome):
    assert "nvidia-smi --gpu-reset -i GPU-3" in text(outcome)


def test_what_would_be_interrupted_is_told_with_its_memory():
    job = Interrupted(100, "python", (3,), ("python", "train.py"), "ana", 9 * GIB)
    said = text(ResetOutcome.REFUSED, interrupts=(job,))
    assert "A reset would interrupt:" in said
    assert "100  ana  9.0 GiB  python train.py" in said


def test_a_process_whose_memory_is_not_known_has_a_dash():
    seen = Interrupted(100, "python", (3,), listed=False)
    assert "100  –  –  [python]" in text(ResetOutcome.REFUSED, interrupts=(seen,))


def test_nvidia_smis_words_are_shown_where_it_failed_and_not_where_it_worked():
    said = text(ResetOutcome.NOT_RESET, output="In use by another client", detail="code 255")
    assert "nvidia-smi: In use by another client" in said
    assert "code 255" in said
    assert "nvidia-smi:" not in text(ResetOutcome.RESET, output="successfully reset")


def test_what_nvidia_smi_prints_cannot_drive_the_terminal():
    assert "\x1b" not in text(ResetOutcome.NOT_RESET, output="\x1b[2Jgone")
