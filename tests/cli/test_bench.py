"""The command line of `gpudoctor bench`: whose options are whose, and what it refuses."""

import json

import pytest

from gpudoctor.cli.bench import _apart, _first_positional, _show
from gpudoctor.cli.main import run
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, Machine

TAKES = {"--steps": True, "--json": False, "--try": True}


def test_options_of_ours_may_stand_behind_the_script_and_the_rest_is_the_scripts():
    ours, theirs = _apart(["--lr", "1", "--steps", "9", "--try=amp", "x", "--json"], TAKES)
    assert ours == ["--steps", "9", "--try=amp", "--json"]
    assert theirs == ["--lr", "1", "x"]


def test_behind_two_dashes_everything_is_the_scripts():
    ours, theirs = _apart(["--steps", "9", "--", "--steps", "3", "--"], TAKES)
    assert (ours, theirs) == (["--steps", "9"], ["--steps", "3", "--"])


def test_a_value_of_an_option_is_not_taken_for_the_script():
    assert _first_positional(["--steps", "9", "--json", "main.py"], TAKES) == 3
    assert _first_positional(["--try=amp", "main.py", "--steps"], TAKES) == 1
    assert _first_positional(["--json"], TAKES) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_script.py"], "there is no script no_such_script.py"),
        (["--try", "magic", "SCRIPT"], "magic is nothing that can be tried"),
        (["cudnn", "--budget", "soon"], "is no span of time"),
        (["cudnn", "--rounds", "0"], "--rounds"),
        (["cudnn", "--python", "/no/such/python"], "there is no interpreter"),
        (["--steps", "5"], "main.py"),
        (["--html", "missing/page.html", "SCRIPT"], "there is no folder missing"),
        (["cudnn", "--html", "missing/page.html"], "there is no folder missing"),
    ],
)
def test_bad_input_is_one_block_on_stderr(capfd, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SCRIPT").write_text("")
    assert run(["bench", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ") and said in err
    assert "Traceback" not in err


def test_what_was_measured_is_shown_though_the_page_cannot_be_written(capfd, tmp_path):
    report = BenchReport(BenchKind.CUDNN, Machine("cpu"), ("a verdict",), (), 1.0)
    with pytest.raises(GpuDoctorError, match="cannot be written"):
        _show(report, tmp_path, None, as_json=True)
    assert json.loads(capfd.readouterr().out)["verdicts"] == ["a verdict"]
    _show(report, tmp_path / "page.html", None, as_json=True)
    assert "a verdict" in (tmp_path / "page.html").read_text()
    assert f"wrote {tmp_path}/page.html" in capfd.readouterr().err


def test_help_names_both_forms(capfd):
    assert run(["bench", "--help"]) == 0
    text = capfd.readouterr().out
    assert "gpudoctor bench cudnn" in text and "main.py" in text
    assert "SCRIPT" not in text
    assert all(option in text for option in ("--try", "--apply", "--cwd-copy", "--module"))
    assert run(["bench", "cudnn", "--help"]) == 0
    assert "module:function" in capfd.readouterr().out


@pytest.mark.parametrize("form", [["cudnn"], ["main.py"]])
@pytest.mark.parametrize(("rounds", "warned"), [("2", True), ("3", False)])
def test_too_few_rounds_are_warned_of_before_anything_runs(
    capfd, tmp_path, monkeypatch, form, rounds, warned
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("raise SystemExit(7)\n")
    # An interpreter that fails at once: nothing can be measured.
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    assert (
        run(
            ["bench", "--python", str(broken), "--rounds", rounds, *form]
            if form != ["cudnn"]
            else ["bench", "cudnn", "--python", str(broken), "--rounds", rounds]
        )
        == 3
    )
    assert ("with 2 rounds nothing will be claimed" in capfd.readouterr().err) is warned
