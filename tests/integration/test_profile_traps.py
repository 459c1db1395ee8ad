"""Traps that torch sets for whoever profiles it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.runner.harness import session, watched

pytestmark = pytest.mark.integration
LOOP = """
import sys, torch
torch.set_num_threads(1)
net = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
def step():
    optimizer.zero_grad()
    net(torch.ones(4, 8)).sum().backward()
    optimizer.step()
"""


def run(folder, script, *arguments):
    (folder / "main.py").write_text(LOOP + script)
    done = watched(sys.executable, folder, "script", str(folder / "main.py"), *arguments)
    return done, session(folder)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(4)", 4), ("raise ValueError('x')", 1), ("import os; os._exit(6)", 6)],
)
def test_an_end_inside_the_window_does_not_crash_the_interpreter(ending, code, tmp_path):
    done, seen = run(tmp_path, f"for _ in range(3): step()\n{ending}\n")
    assert done.returncode == code, done.stderr
    if "_exit" not in ending:
        assert seen["window"]["ended"] == "the script ended"
        assert (tmp_path / "trace.json").stat().st_size > 1000


def test_a_script_with_its_own_profiler_gets_its_own_profile(tmp_path):
    done, seen = run(
        tmp_path,
        """
for _ in range(3): step()
with torch.profiler.profile() as mine:
    for _ in range(4): step()
print(sum(event.count for event in mine.key_averages() if event.key == 'Optimizer.step#SGD.step'))
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4\n"
    assert seen["window"]["ended"] == "the script started its own profiler"


def test_a_profiler_of_the_script_that_runs_already_is_left_alone(tmp_path):
    done, seen = run(
        tmp_path,
        "with torch.autograd.profiler.profile() as mine:\n    for _ in range(6): step()\n"
        "print(len(mine.function_events) > 50)\n",
    )
    assert (done.stdout, done.returncode) == ("True\n", 0)
    assert seen["window"]["state"] == "waiting"


def test_a_running_cprofile_keeps_its_counts(tmp_path):
    done, _ = run(
        tmp_path,
        """
import cProfile, pstats
mine = cProfile.Profile()
mine.enable()
for _ in range(30): step()
mine.disable()
print([row[0] for (_, _, name), row in pstats.Stats(mine).stats.items() if name == 'step'
       and row[0] >= 30])
""",
    )
    assert done.returncode == 0, done.stderr
    assert "30" in done.stdout


def test_loader_workers_by_fork_and_by_spawn_work_under_the_profiler(tmp_path):
    script = """
from torch.utils.data import DataLoader, Dataset
class Numbers(Dataset):
    def __len__(self): return 40
    def __getitem__(self, index): return torch.ones(8) * index
if __name__ == '__main__':
    for method in ('fork', 'spawn'):
        total = 0
        for batch in DataLoader(Numbers(), 4, num_workers=1, multiprocessing_context=method):
            total += int(batch.sum())
            step()
        print(method, total)
"""
    done, seen = run(tmp_path, script)
    assert done.stdout == "fork 6240\nspawn 6240\n", done.stderr
    assert done.returncode == 0
    assert [use["num_workers"] for use in seen["loaders"]] == [1]
    assert seen["loaders"][0]["batches"] == 20
    assert seen["loaders"][0]["epochs"] == 2


def test_inference_without_an_optimizer_is_profiled_by_its_batches(tmp_path):
    done, seen = run(
        tmp_path,
        """
from torch.utils.data import DataLoader
with torch.no_grad():
    for batch in DataLoader(torch.ones(400, 8), 4):
        net(batch)
""",
    )
    assert done.returncode == 0, done.stderr
    assert seen["steps"]["count"] == 0
    assert seen["batches"]["count"] == 100
    assert seen["window"]["state"] == "done"
    names = {
        event["name"] for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    }
    assert "aten::addmm" in names


def test_the_runner_says_nothing_of_its_own_and_leaves_the_environment_as_it_was(tmp_path):
    done, _ = run(
        tmp_path,
        "import os\nfor _ in range(9): step()\nprint(sorted(k for k in os.environ if 'KINETO' in k))\n",
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_both_plain_and_watched_runs_seed_the_same_numbers(tmp_path):
    (tmp_path / "main.py").write_text(
        "import random, torch\nrandom.seed(1); torch.manual_seed(1)\n"
        "print(random.random(), torch.rand(1).item())\n"
    )
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")], capture_output=True, text=True, timeout=60
    )
    done = watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    assert done.stdout == plain.stdout


INFERENCE = """
import time, torch
from torch import nn
net = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 8)))
hooks = (nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks)
came, until = False, time.monotonic() + 60
with torch.no_grad():
    while time.monotonic() < until and not (came and not any(hooks)):
        came = came or any(hooks)
        net(torch.ones(4, 8))
        time.sleep(0.002)
print(came, *map(len, hooks))
"""


def test_inference_without_a_loader_is_profiled_by_calls_of_its_model(tmp_path):
    (tmp_path / "main.py").write_text(INFERENCE)
    done = watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    seen = session(tmp_path)
    assert (done.stdout, done.returncode) == ("True 0 0\n", 0), done.stderr
    assert (seen["steps"]["count"], seen["batches"]["count"]) == (0, 0)
    assert seen["window"]["state"] == "done"
    assert seen["window"]["steps"] == 2
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["name"] == "aten::addmm" for event in events) == 4


def test_a_validation_before_the_training_is_not_taken_for_the_loop(tmp_path):
    done, seen = run(
        tmp_path,
        """
from torch.utils.data import DataLoader
for batch in DataLoader(torch.ones(100, 8), 4):
    net(batch)
for _ in range(9):
    step()
""",
    )
    assert done.returncode == 0, done.stderr
    assert seen["window"]["state"] == "done"
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event["name"] == "Optimizer.step#SGD.step" for event in events)


COMPILED = """
from torch import nn
import time
net = torch.compile(net, backend='eager')
@torch.compile(backend='eager')
def stepped():
    optimizer.step()
for _ in range(12):
    optimizer.zero_grad()
    net(torch.ones(4, 8)).sum().backward()
    stepped()
print(dict(torch._dynamo.utils.counters['stats']))
"""
COMPILED_INFERENCE = """
import time
time.sleep(1.5)
from torch import nn
net = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), backend='eager')
with torch.no_grad():
    for _ in range(20):
        net(torch.ones(4, 8))
print(dict(torch._dynamo.utils.counters['stats']))
"""


@pytest.mark.parametrize(
    "script",
    [LOOP + COMPILED, "import torch\n" + COMPILED_INFERENCE],
    ids=["training", "inference"],
)
def test_what_torch_compiles_is_the_same_with_and_without_the_profiler(script, tmp_path):
    (tmp_path / "main.py").write_text(script)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")], capture_output=True, text=True, timeout=100
    )
    done = watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    assert plain.returncode == done.returncode == 0, done.stderr
    assert done.stdout == plain.stdout
