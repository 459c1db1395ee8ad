"""The soak of benchmarks/soak.py, cut short; `python -m benchmarks.soak` runs it for long."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.integration
def test_a_daemon_that_lives_through_many_troubles_keeps_nothing_of_them(nvml_sim, tmp_path):
    out = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--samples", "500", "--out", str(out)]
    done = subprocess.run(command, timeout=110, capture_output=True, text=True)
    assert out.exists(), done.stderr
    told = json.loads(out.read_text())
    assert told["failed"] is None
    assert told["xids_counted"] == told["xids_sent"] > 0
    growth = told["growth"]
    assert growth["descriptors"] <= 2
    assert growth["threads"] <= 1
    assert growth["series"] <= 5
    assert growth["objects"] < 2_000
    assert growth["resident_bytes"] < 8 * 1024**2
