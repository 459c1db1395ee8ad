"""`python -m tests.nvml_sim COMMAND`, as CONTRIBUTING.md tells it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.libraries import NoCompilerError
from tests.nvml_sim.build import build
from tests.nvml_sim.presets import GIB


@pytest.mark.integration
def test_a_process_that_is_ended_gives_back_what_it_held_on_the_simulated_driver():
    try:
        build()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    with subprocess.Popen(["sleep", "600"]) as held:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.nvml_sim", "--pid", str(held.pid)),
                *(sys.executable, "-m", "gpudoctor", "kill", str(held.pid), "--yes", "--json"),
            ],
            cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        held.kill()
    assert done.returncode == 0, done.stderr
    (gpu,) = json.loads(done.stdout)["memory"]
    assert (gpu["index"], gpu["freed_bytes"]) == (0, 6 * GIB)
