"""`gpudoctor profile --nproc-per-node 2` on a real job over gloo, in which one rank is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
JOB = """\
import os, sys, time, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
assert os.environ.get("PYTHON_EXEC") is None and sys.argv[1:] == ["--lr", "0.1"]
dist.init_process_group("gloo")
torch.set_num_threads(1)
model = DistributedDataParallel(torch.nn.Linear(64, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(25):
    if dist.get_rank() == 1:
        time.sleep(0.08)  # planted
    model(torch.randn(16, 64)).sum().backward()
    optimizer.step()
dist.destroy_process_group()
sys.exit(0)
"""
FAILING = """\
import os, sys, time
if os.environ["RANK"] == "1":
    raise ValueError("no data on this rank")
time.sleep(30)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", "profile", "--python", sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_the_slow_rank_is_named_with_its_line_and_the_same_steps_are_traced(tmp_path: Path):
    script, out = tmp_path / "train.py", tmp_path / "out"
    script.write_text(JOB)
    done = run(*("--json", "--out", str(out), "--nproc-per-node", "2", str(script), "--lr", "0.1"))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["schema"], seen["world_size"]) == ("gpudoctor.profile.ranks/1", 2)
    assert seen["missing"] == []
    first = seen["findings"][0]
    assert (first["finding"]["id"], first["ranks"]) == ("ranks.straggler", [1])
    assert first["finding"]["source_line"] == f"{script}:11"
    assert not [
        one
        for one in seen["findings"][1:]
        if one["finding"]["source_line"] == first["finding"]["source_line"]
    ]
    assert "there, a wait in the Python code" in first["finding"]["evidence"][-1]
    windows = [one["window"] for one in seen["profiles"]]
    assert [(w["first_step"], w["steps"]) for w in windows] == [(5, 10), (5, 10)]
    fast, slow = seen["ranks"]
    assert fast["exposed_seconds"] > 0.04 > slow["exposed_seconds"]
    assert slow["own_seconds"] > 0.07 > fast["own_seconds"]
    for name in ("rank0/report.html", "rank1/trace.json", "profile.json"):
        assert (out / name).is_file()
    again = run("--load", str(out))
    assert again.returncode == 0, again.stderr
    assert "Rank 1 holds the others up" in again.stdout


def test_a_failing_rank_is_told_of_and_the_exit_code_is_torchruns(tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(FAILING)
    torchrun = ("torchrun", "--standalone", "--nproc-per-node=2", str(script))
    done = run("--json", "--no-operators", *torchrun)
    assert done.returncode == 1
    seen = json.loads(done.stdout)
    # torchrun ends the other rank at once, perhaps before it has begun.
    at = [one["rank"] for one in seen["ranks"]].index(1)
    assert seen["ranks"][at]["how"] == "exception"
    assert seen["profiles"][at]["run"]["exception"] == "ValueError: no data on this rank"
    assert seen["profiles"][at]["run"]["exception_line"] == f"{script}:3"
    assert "PYTHON_EXEC" not in os.environ
