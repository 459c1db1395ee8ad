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
    early, late = told["counts"][:2], told["counts"][2:]
    most = {
        "descriptors": 2,
        "threads": 1,
        "series": 5,
        "objects": 2_000,
        "resident_bytes": 8 << 20,
    }
    for name, allowed in most.items():
        # A round may be counted while a process comes or goes; what grows is more in every later one.
        grown = min(one[name] for one in late) - max(one[name] for one in early)
        assert grown <= allowed, (name, told["counts"])
