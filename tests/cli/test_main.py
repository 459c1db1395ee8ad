from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpudoctor.cli.commands import COMMANDS
from gpudoctor.cli.main import run

HEAVY = (
    "torch",
    "textual",
    "rich",
    "psutil",
    "jinja2",
    "prometheus_client",
    "msgspec",
    "pynvml",
    "numpy",
)


def gpudoctor(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def imported(code: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_import_next_to_nothing(flag):
    loaded = imported("import gpudoctor.__main__ as program; program.main()", flag)
    assert "gpudoctor.cli.main" in loaded
    # What an installation's .pth files import is not gpudoctor's doing.
    ours = loaded - imported("pass")
    assert not ours & {*HEAVY, "typing", "enum", "signal", "dataclasses"}


@pytest.mark.parametrize("command", [entry.name for entry in COMMANDS])
def test_every_command_of_the_table_has_help(command):
    done = gpudoctor(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert f"gpudoctor {command}" in done.stdout


def test_an_unknown_command_names_the_one_that_was_meant():
    done = gpudoctor("profil")
    assert done.returncode == 2
    assert "Did you mean 'profile'?" in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_is_one_block_and_exit_code_2():
    done = gpudoctor("ps", "--nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "hint: Try: gpudoctor ps --help" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_and_replay_exclude_each_other():
    done = gpudoctor("--demo", "--replay", "x", "ps")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr


def test_a_recording_that_is_garbage_is_one_block_and_exit_code_2(tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00\x01nonsense")
    done = gpudoctor("--replay", str(garbage), "ps")
    assert done.returncode == 2
    assert "garbage" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m gpudoctor schema snapshot | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert len(done.stdout) == 10
    assert "Traceback" not in done.stderr


def test_a_settings_file_that_is_wrong_is_an_error_of_every_command(tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[sampling]\nintervall_seconds = 1\n")
    done = gpudoctor("--demo", "--config", str(wrong), "ps")
    assert done.returncode == 2
    assert "Did you mean sampling.interval_seconds?" in done.stderr
    assert gpudoctor("--demo", "--config", str(tmp_path / "none"), "ps").returncode == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("ps", "--demo"), "gpudoctor --demo ps"),
        (("check", "--replay", "x"), "gpudoctor --replay FILE check"),
    ],
)
def test_an_option_of_gpudoctor_behind_the_command_is_told_its_place(words, hint, capsys):
    assert run(words) == 2
    told = capsys.readouterr().err
    assert f"stands before the command: {hint}" in told
    assert "Did you mean" not in told


@pytest.mark.parametrize("command", ["bench", "service"])
def test_a_group_without_a_command_shows_its_help_and_no_error_around_it(command, capsys):
    assert run([command]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Usage:")
    assert told.endswith(f"error: gpudoctor {command} needs to know what\n")


def test_the_choices_of_a_missing_argument_stand_on_one_line(capsys):
    assert run(["completion"]) == 2
    assert "Choose from: bash, zsh, fish\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kill", "x"], "'x' is not a whole number."),
        (["orphans", "--window", "x"], "'x' is not a number."),
        (["ps", "--gpu", "x"], "'x' is not a whole number."),
        (["--config", "{folder}", "ps"], "cause: Is a directory\n"),
        (["--replay", "{folder}", "ps"], "cause: Is a directory\n"),
        (["profile", ""], "error: there is no script ''\n"),
        (["check", "--python", ""], "error: there is no interpreter ''\n"),
        (["service", "show", "extra"], "hint: Try: gpudoctor serve --help\n"),
    ],
)
def test_what_was_given_wrong_is_told_in_words(arguments, told, tmp_path, capsys):
    assert run([word.format(folder=tmp_path) for word in arguments]) == 2
    assert told in capsys.readouterr().err


def test_ctrl_c_while_a_command_is_imported_leaves_no_traceback(monkeypatch, capsys):
    class Interrupting:
        def find_spec(self, name, path=None, target=None):
            if name == "gpudoctor.cli.schema":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "gpudoctor.cli.schema", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert run(["schema"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_ctrl_c_before_any_command_is_known_leaves_no_traceback(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("gpudoctor.cli.main._run", interrupted)
    assert run(["schema"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize("command", ["ps", "visible", "--once"])
def test_what_the_output_s_encoding_lacks_costs_a_character_and_no_traceback(command):
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = gpudoctor("--demo", command, env=environ)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
