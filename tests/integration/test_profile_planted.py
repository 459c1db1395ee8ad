"""Scripts that really have a fault, run for real: the first finding is the planted one and names its line."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PLANTED = Path(__file__).parents[1] / "fixtures" / "profile"
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.integration


def run_profile(
    script: Path, *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gpudoctor", "profile", "--python", sys.executable, "--json"),
            *options,
            *(str(script), *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done


def profiled(script: Path) -> dict:
    return json.loads(run_profile(script).stdout)


def planted_line(script: Path) -> str:
    for number, line in enumerate(script.read_text().splitlines(), 1):
        if "# planted" in line:
            return f"{script}:{number}"
    raise AssertionError(f"nothing is planted in {script}")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("loader_bound", "loader.starved"),
        ("python_bound", "python.main-thread"),
        ("tiny_operators", "operators.small"),
        ("graph_growth", "memory.graph-kept"),
        ("loop_optimizer", "optimizer.for-loop"),
        ("tensors_kept", "memory.tensors-kept"),
        ("one_thread", "cpu.threads"),
        ("many_threads", "cpu.threads"),
        ("repeated_copy", "copies.repeated"),
    ],
)
def test_the_first_finding_is_the_planted_one_and_names_its_line(name, finding):
    script = PLANTED / f"{name}.py"
    first = profiled(script)["findings"][0]
    assert first["id"] == finding
    assert first["source_line"] == planted_line(script)
    assert first["gain_seconds"] is None or first["gain_seconds"] > 0


def test_a_healthy_script_gets_no_complaint():
    seen = profiled(PLANTED / "healthy.py")
    assert seen["findings"] == []
    assert seen["steps"]["count"] == 60
    assert seen["window"]["steps"] >= 1
    assert {one["name"] for one in seen["window"]["operators"]} > {"aten::mm", "aten::addmm"}


def test_repeated_copies_are_not_watched_where_nobody_wants_it():
    seen = json.loads(run_profile(PLANTED / "repeated_copy.py", options=("--no-copies",)).stdout)
    assert seen["window"]["copies"] == []
    assert "copies.repeated" not in {one["id"] for one in seen["findings"]}


# Small, so that it is the profiler that is tested and not the machine.
TRANSFORMER = ("--steps", "12", "--width", "64", "--batch-size", "16")


@cache
def watched(name: str, *arguments: str) -> tuple[dict, str]:
    """An example's profile, and what the example itself printed meanwhile."""
    done = run_profile(EXAMPLES / f"{name}.py", *arguments, options=("--shapes",))
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "steps"),
    [("train_classifier", ("--epochs", "1"), 32), ("train_transformer", TRANSFORMER, 12)],
)
def test_an_example_is_profiled(name, arguments, steps):
    seen, _ = watched(name, *arguments)
    assert seen["steps"]["count"] == steps
    products = [one for one in seen["window"]["shapes"] if one["name"] == "aten::addmm"]
    # A bias and two matrices that fit together, as torch itself wrote them down.
    assert products
    assert all(left[1] == right[0] for _, left, right in (one["shapes"] for one in products))
    assert {kind for one in products for kind in one["types"]} == {"float"}
    phases = {phase["name"]: phase["seconds"] for phase in seen["window"]["phases"]}
    assert phases["backward"] > phases["optimizer"] > 0


def test_what_the_script_computes_is_the_same_with_and_without_the_profiler():
    plain = subprocess.run(
        [sys.executable, str(EXAMPLES / "train_transformer.py"), *TRANSFORMER],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert plain.returncode == 0
    assert plain.stdout
    assert plain.stdout in watched("train_transformer", *TRANSFORMER)[1]
