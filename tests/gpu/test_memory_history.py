"""What torch really records of a card's memory; with the torch of the interpreter that runs the tests."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MIB = 2**20
SCRIPT = """
import torch

if not torch.cuda.is_available():
    raise SystemExit(77)
weights = torch.nn.Linear(1024, 1024, device="cuda")
optimizer = torch.optim.SGD(weights.parameters(), lr=0.1)
for _ in range(12):
    kept = torch.zeros(8 * 2**20, dtype=torch.uint8, device="cuda")
    weights(torch.randn(64, 1024, device="cuda")).mean().backward()
    optimizer.step()
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    (folder / "main.py").write_text(SCRIPT)
    options = ("--steps", "3", "--memory-history", "--out", "kept", "--python", sys.executable)
    done = subprocess.run(
        [sys.executable, "-m", "gpudoctor", "profile", *options, "main.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 77:
        pytest.skip("this torch has no CUDA")
    assert done.returncode == 0, done.stderr
    assert (folder / "kept" / "memory.pickle").stat().st_size > 0
    return json.loads((folder / "kept" / "profile.json").read_text())


def test_live_memory_is_found_with_the_line_that_holds_it(seen):
    (history,) = seen["memory_history"]
    lines = {one["source_line"]: one["bytes"] for one in history["live"]}
    assert any(
        line and line.endswith("main.py:9") and size >= 8 * MIB for line, size in lines.items()
    )
    assert history["allocated_bytes"] <= history["active_bytes"] <= history["reserved_bytes"]
    assert history["peak_bytes"] >= 16 * MIB


def test_kernels_are_found_for_their_modules_in_both_directions(seen):
    (linear,) = [one for one in seen["modules"] if one["kind"] == "Linear"]
    assert linear["device_seconds"] > 0
    assert linear["backward_seconds"] > 0
