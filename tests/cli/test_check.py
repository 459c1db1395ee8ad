"""`gpudoctor check` as a program, on the scripted machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.checks.registry import registered

ROOT = Path(__file__).parents[2]
BAD = """\
import os, torch
torch.cuda.is_available()
os.environ["CUDA_VISIBLE_DEVICES"] = "1"
"""


def run(*arguments: str, root: tuple[str, ...] = ("--demo",)) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gpudoctor", *root, "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def gpu_only(*arguments: str) -> subprocess.CompletedProcess:
    return run("--only", "clocks,memory,ecc", *arguments)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(BAD)
    return path


def test_the_hot_gpu_of_the_demo_is_found():
    done = gpu_only()
    assert done.returncode == 0
    assert "GPU 6" in done.stdout
    assert "[clocks.hardware-slowdown]" in done.stdout
    assert "follows from clocks.near-shutdown" in done.stdout
    assert "SIMULATED" in done.stderr
    assert not any(line != line.rstrip() for line in done.stdout.splitlines())


def test_the_level_of_fail_on_decides_the_exit_code():
    assert gpu_only("--fail-on", "warning").returncode == 1
    assert gpu_only("--fail-on", "error").returncode == 0
    assert gpu_only("--fail-on", "never").returncode == 0
    assert run("--only", "ecc", "--fail-on", "info").returncode == 0


def test_json_is_one_object_with_findings_and_outcomes():
    answer = json.loads(gpu_only("--json").stdout)
    assert answer["schema"] == "gpudoctor.check/1"
    assert {
        "id",
        "severity",
        "subject",
        "summary",
        "evidence",
        "fix",
        "sources",
        "caused_by",
    } <= set(answer["findings"][0])
    assert {row["id"].partition(".")[0] for row in answer["checks"]} == {"clocks", "memory", "ecc"}
    assert {row["outcome"] for row in answer["checks"]} <= {"ok", "found", "not_applicable"}


def test_markdown_can_be_pasted():
    lines = gpu_only("--markdown").stdout.splitlines()
    assert lines[0] == "## gpudoctor check"
    assert any(line.startswith("- **warning** GPU 6") for line in lines)


def test_skip_leaves_a_group_or_a_check_out():
    answer = json.loads(gpu_only("--skip", "memory,ecc.disabled", "--json").stdout)
    ids = {row["id"] for row in answer["checks"]}
    assert "ecc.uncorrected" in ids
    assert not ids & {"ecc.disabled", "memory.held"}


def test_a_script_alone_needs_no_machine(script):
    done = run(str(script), "--only", "script", root=())
    assert "train.py:3: CUDA_VISIBLE_DEVICES is set here" in done.stdout
    assert done.returncode == 0
    assert run(str(script), "--only", "script", "--fail-on", "warning", root=()).returncode == 1


def test_the_script_is_never_run(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    assert run(str(path), "--only", "script").returncode == 0
    assert not (tmp_path / "was-run").exists()


def test_a_script_that_is_no_python_is_a_usage_error(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("def f(:\n")
    done = run(str(path))
    assert done.returncode == 2
    assert "cause: line 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_that_is_not_there_is_a_usage_error(tmp_path):
    done = run(str(tmp_path / "absent.py"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_an_unknown_name_is_answered_with_the_nearest():
    done = run("--only", "clock")
    assert done.returncode == 2
    assert "clocks" in done.stderr


def test_nothing_to_look_at_is_told_by_the_exit_code():
    done = run("--only", "script")
    assert done.returncode == 3
    assert "nothing could be looked at: no script was given" in done.stderr


def test_a_recording_that_is_not_there_is_no_sick_driver(tmp_path):
    done = run(root=("--replay", str(tmp_path / "absent.jsonl")))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "does not exist" in done.stderr


def test_a_recording_is_diagnosed_without_this_machine(tmp_path):
    recording = str(tmp_path / "demo.jsonl")
    command = [
        sys.executable,
        "-m",
        "gpudoctor",
        "--demo",
        "record",
        "--duration",
        "0.3",
        recording,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    done = run("--json", root=("--replay", recording))
    answer = json.loads(done.stdout)
    groups = {row["id"].partition(".")[0] for row in answer["findings"]}
    assert "clocks" in groups
    assert not groups & {"torch", "packages", "container", "limits", "settings"}


def test_every_check_is_listed_and_explained():
    listed = json.loads(run("--list", "--json").stdout)["checks"]
    assert [row["id"] for row in listed] == [check.id for check in registered()]
    text = run("--explain", "torch.cpu-build").stdout
    assert "caused by" not in text
    assert "https://" in text


def test_the_reference_page_is_up_to_date():
    written = (ROOT / "docs" / "checks.md").read_text()
    assert run("--list", "--markdown").stdout == written


def test_json_and_markdown_exclude_each_other():
    assert run("--json", "--markdown").returncode == 2


def test_help_imports_neither_torch_nor_the_checks():
    code = (
        "import sys; from gpudoctor.cli.main import run; run(['check', '--help']); "
        "bad = {'torch', 'rich', 'psutil', 'gpudoctor.checks.registry'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_schema_of_the_json_is_published():
    command = [sys.executable, "-m", "gpudoctor", "schema", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "CheckReport" in done.stdout
