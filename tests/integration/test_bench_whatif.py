"""Planted scripts: what is found in each by changing one setting at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.bench.children import launcher

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SCRIPTS = Path(__file__).parents[1] / "fixtures" / "bench"


def bench(*arguments, cwd, budget="4m"):
    command = [sys.executable, "-m", "gpudoctor", "bench", "--python", sys.executable]
    return subprocess.run(
        [*command, "--budget", budget, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )


def results_of(done):
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == "gpudoctor.bench/1"
    return report, {row["setting"]: row for row in report["results"]}


def test_a_script_that_waits_for_its_data_is_told_to_use_workers(tmp_path):
    script = tmp_path / "loader_bound.py"
    script.write_text((SCRIPTS / "loader_bound.py").read_text())
    options = ("--json", "--try", "num-workers=2..4", "--rounds", 3, "--steps", 24)
    report, rows = results_of(bench(*options, script.name, cwd=tmp_path))
    best = rows["num-workers=4"]
    assert best["speedup"]["low"] > 1.1 and best["speedup"]["value"] > 1.5
    assert best["trajectory"] == "equal"
    assert best["edit"]["source_line"] == "loader_bound.py:23"
    assert "+    num_workers=4," in best["edit"]["patch"]
    assert rows["unchanged"]["baseline"] and "num-workers=4 is" in report["verdicts"][0]
    subprocess.run(
        ["git", "apply", "--check", "-"],
        input=best["edit"]["patch"].encode(),
        cwd=tmp_path,
        check=True,
    )


def test_a_script_that_only_computes_has_nothing_to_gain_from_workers():
    options = ("--json", "--try", "num-workers=2", "--rounds", 3, "--steps", 40)
    report, rows = results_of(bench(*options, "compute_bound.py", cwd=SCRIPTS))
    assert "nothing is gained" in report["verdicts"][0]
    ratio = rows["num-workers=2"]["speedup"]
    assert not (ratio["low"] > 1 and ratio["value"] >= 1.01)
    assert rows["num-workers=2"]["trajectory"] == "equal"


def test_an_operator_is_found_with_its_line_and_a_copy_keeps_the_users_files_alone(tmp_path):
    script = tmp_path / "no_deterministic.py"
    source = (SCRIPTS / script.name).read_text()
    seed = "torch.manual_seed(0)\n"
    script.write_text(source.replace(seed, seed + "open('log', 'w').write('x')\n"))
    tried = "deterministic,fused-optimizer,cudnn-benchmark"
    options = ("--json", "--try", tried, "--rounds", 1, "--steps", 5, "--cwd-copy")
    report, rows = results_of(bench(*options, script.name, cwd=tmp_path))
    (operator,) = rows["deterministic"]["operators"]
    assert operator["name"].startswith("max_unpool")
    assert operator["source_line"] == "no_deterministic.py:20"
    assert operator["name"] in report["verdicts"][0]
    assert rows["deterministic"]["speedup"] is None
    assert rows["cudnn-benchmark"]["status"] == "not_applicable"
    edit = rows["fused-optimizer"]["edit"]
    assert edit["source_line"] == "no_deterministic.py:24"
    assert "+optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, fused=True)" in edit["patch"]
    assert [path.name for path in tmp_path.iterdir()] == [script.name]


NOSY = """
import atexit, json, os, random, sys
import torch
with open("seen.jsonl", "a") as file:
    file.write(json.dumps({"argv": sys.argv, "cwd": os.getcwd(), "name": __name__, "file": __file__,
        "path0": sys.path[0], "hash": os.environ.get("PYTHONHASHSEED"),
        "seed": [float(torch.manual_seed(7) and torch.rand(1)), random.Random(7).random()],
        "main": sys.modules["__main__"].__dict__ is globals()}) + "\\n")
atexit.register(lambda: open("left", "a").write("cleanly\\n"))
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
try:
    for step in range(10**9):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
finally:
    open("left", "a").write("finally\\n")
"""


def child(script, *arguments, cwd, steps=5):
    """One run of the runner alone; what it wrote, and its exit code."""
    with launcher(sys.executable, os.environ, str(cwd)) as launch:
        options = {"setting": {"observe": True}, "steps": steps, "warmup": 2, "least_seconds": 0}
        return launch.run("whatif", options, ("script", script, *arguments), timeout_s=60)


def test_the_script_sees_what_it_would_see_without_us_and_leaves_cleanly(tmp_path):
    (tmp_path / "main.py").write_text(NOSY)
    stopped = child("main.py", "--lr", "0.1", "x y", cwd=tmp_path)
    assert (stopped.code, stopped.result["how"]) == (0, "stopped")
    assert stopped.result["steps"] == 7 and stopped.seconds < 60
    (tmp_path / "main.py").write_text(NOSY.replace("10**9", "3"))
    subprocess.run([sys.executable, "main.py", "--lr", "0.1", "x y"], cwd=tmp_path, check=True)
    with_us, without_us = [json.loads(line) for line in (tmp_path / "seen.jsonl").open()]
    assert with_us == without_us
    assert (tmp_path / "left").read_text() == "finally\ncleanly\n" * 2


def test_the_scripts_own_exit_code_is_kept(tmp_path):
    (tmp_path / "main.py").write_text("import sys\nsys.exit(5)\n")
    assert child("main.py", cwd=tmp_path).code == 5


def test_a_script_that_catches_everything_is_stopped_all_the_same(tmp_path):
    (tmp_path / "main.py").write_text(
        "import torch\nm = torch.nn.Linear(1, 1)\no = torch.optim.SGD(m.parameters(), lr=0.1)\n"
        "while True:\n    try:\n        m(torch.ones(1, 1)).sum().backward()\n        o.step()\n"
        "    except BaseException:\n        pass\n"
    )
    stopped = child("main.py", cwd=tmp_path)
    assert stopped.result["how"] == "stopped" and stopped.result["steps"] == 7


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import torch\nraise ValueError('bad data')\n", "ValueError: bad data"),
        ("import torch\nprint('no training here')\n", "too few optimizer steps"),
        ("import sys\nsys.exit(5)\n", "exit code 5"),
        ("x = (\n", "SyntaxError"),
    ],
)
def test_a_script_that_cannot_be_measured_is_explained(tmp_path, body, said):
    (tmp_path / "main.py").write_text(body)
    done = bench("--try", "amp", "main.py", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert said in done.stderr
    assert "gpudoctor/runner" not in done.stderr


def test_settings_that_mean_nothing_here_are_rows_with_reasons(tmp_path):
    (tmp_path / "main.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader, IterableDataset\n"
        "class Stream(IterableDataset):\n    def __iter__(self):\n        while True:\n"
        "            yield torch.ones(2)\n"
        "m = torch.nn.Linear(2, 1)\no = torch.optim.SGD(m.parameters(), lr=0.1, fused=True)\n"
        "for x in DataLoader(Stream()):\n    m(x).sum().backward()\n    o.step()\n"
    )
    tried = "num-workers=2,prefetch=4,fused-optimizer"
    _, rows = results_of(
        bench("--json", "--try", tried, "--rounds", 1, "--steps", 5, "main.py", cwd=tmp_path)
    )
    reasons = {name: row["reason"] for name, row in rows.items() if row["status"] != "measured"}
    assert "once per worker" in reasons["num-workers=2"]
    assert "needs num_workers > 0" in reasons["prefetch=4"]
    assert reasons["fused-optimizer"] == "it is so already"
    assert not any(os.fspath(tmp_path) in reason for reason in reasons.values())
