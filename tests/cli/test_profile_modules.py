"""One profiled run with everything about modules and memory switched on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration
SCRIPT = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Sequential(nn.Linear(16, 4)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(12):
    loss = model(torch.randn(8, 16)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"{loss.item():.9f}")
"""


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "main.py").write_text(SCRIPT)
    options = ("--steps", "2", "--memory-history", "--out", "kept", "--python", sys.executable)
    done = run(folder, "-m", "gpudoctor", "profile", *options, "main.py")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_script_computes_what_it_computes_without_us(kept):
    folder, done = kept
    assert run(folder, "main.py").stdout == done.stdout.splitlines(keepends=True)[0]


def test_the_report_has_a_table_of_modules_and_says_why_there_is_no_memory_history(kept):
    words = [" ".join(line.split()) for line in kept[1].stdout.splitlines()]
    at = next(i for i, line in enumerate(words) if line.startswith("Modules that took longest"))
    assert words[at + 2].startswith("MODULE CLASS CALLS FORWARD BACKWARD PARAMETERS")
    rows = [line.split()[:3] for line in words[at + 4 : at + 9]]
    assert sorted(rows) == sorted(
        [
            ["Sequential", "Sequential", "1"],
            ["0", "Linear", "1"],
            ["1", "ReLU", "1"],
            ["2", "Sequential", "1"],
            ["0", "Linear", "1"],
        ]
    )
    assert "Note: No memory history: no CUDA device." in words


def test_the_profile_has_each_modules_forward_and_backward(kept):
    seen = json.loads((kept[0] / "kept" / "profile.json").read_text())
    rows = {one["name"]: one for one in seen["modules"]}
    assert {name: row["calls"] for name, row in rows.items()} == dict.fromkeys(
        ("", "0", "1", "2", "2.0"), 2
    )
    assert [rows["0"]["parameters"], rows["2.0"]["parameter_bytes"]] == [272, 272]
    assert rows["0"]["output_bytes"] == 8 * 16 * 4
    for row in rows.values():
        assert 0 <= row["self_seconds"] <= row["total_seconds"]
        assert 0 <= row["backward_self_seconds"] <= row["backward_seconds"]
        assert row["device_seconds"] is None
    inner = sum(rows[name]["backward_self_seconds"] for name in rows)
    assert rows[""]["backward_seconds"] == pytest.approx(inner)
    backward = next(one for one in seen["window"]["phases"] if one["name"] == "backward")
    assert rows["0"]["backward_seconds"] > 0
    assert rows[""]["backward_seconds"] <= backward["seconds"]


def test_the_trace_lies_where_tensorboard_looks(kept):
    (placed,) = (kept[0] / "kept" / "tensorboard").iterdir()
    assert placed.name.startswith("main_")
    assert placed.name.endswith(".pt.trace.json")
    assert json.loads(placed.read_text())["traceEvents"]


@pytest.mark.parametrize("other", [("--pid", "1"), ("--no-operators", "main.py")])
def test_a_memory_history_without_a_window_is_refused(other, kept):
    done = run(kept[0], "-m", "gpudoctor", "profile", "--memory-history", *other)
    assert done.returncode != 0
    assert "--memory-history needs a profiled window" in done.stderr
