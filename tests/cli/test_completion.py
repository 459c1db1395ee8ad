"""Completion in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def complete(words: str) -> list[str]:
    env = {
        **os.environ,
        "_GPUDOCTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([BIN / "gpudoctor"], env=env, capture_output=True, text=True, timeout=30)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_are_completed_by_their_beginning():
    assert complete("gpudoctor rec") == ["record"]


def test_options_of_a_command_are_completed():
    assert "--watch" in complete("gpudoctor ps --wa")


def test_values_of_a_choice_are_completed():
    assert complete("gpudoctor ps --sort mem") == ["memory"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_can_read(shell, tmp_path):
    script = subprocess.run(
        [BIN / "gpudoctor", "completion", shell], capture_output=True, text=True, timeout=30
    )
    assert script.returncode == 0
    assert "_GPUDOCTOR_COMPLETE" in script.stdout
    if shutil.which(shell):
        file = tmp_path / "completion"
        file.write_text(script.stdout)
        subprocess.run([shell, "-n", file], check=True, timeout=10)
