"""`gpudoctor --version`, plain and with what a bug report needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor import __version__
from gpudoctor.cli import sources
from gpudoctor.cli.main import run
from gpudoctor.cli.version import gather
from gpudoctor.host.about import dependencies
from gpudoctor.model.about import About
from gpudoctor.model.codec import decode


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("GPUDOCTOR_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def test_plain_version_is_one_line(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gpudoctor {__version__}\n"


def test_verbose_names_the_driver_and_the_library_that_was_loaded(nvml_sim, capsys):
    assert run(["--version", "--verbose"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"gpudoctor {__version__}"
    rows = {line.split(maxsplit=1)[0]: line for line in said[1:]}
    assert "GPUs: 8" in rows["Driver"]
    assert str(nvml_sim.library) in rows["NVML"]
    assert "config.toml (not there)" in rows["Settings"]
    assert "history.sqlite3" in rows["History"]
    assert rows["click"].split() == ["click", dependencies()["click"]]


def test_json_is_one_object_that_the_schema_reads_back(nvml_sim, capsys):
    assert run(["--version", "--verbose", "--json"]) == 0
    text = capsys.readouterr().out
    body = json.loads(text)
    assert body["schema"] == "gpudoctor.version/1"
    report = decode(text, About, what="the report")
    assert report.driver.gpus == 8
    assert report.driver.path == str(nvml_sim.library / "libnvidia-ml.so.1")
    assert report.executable == sys.executable


def test_a_driver_that_is_not_loaded_is_a_fact_and_no_error(nvml_sim, capsys):
    nvml_sim.machine.driver_away()
    assert run(["--version", "--verbose"]) == 0
    assert "the NVIDIA driver is not loaded: libnvidia-ml.so.1 is there" in capsys.readouterr().out


def test_a_driver_that_hangs_is_waited_for_in_vain_but_not_forever(nvml_sim, monkeypatch):
    monkeypatch.setattr(sources, "OPEN_TIMEOUT_S", 0.2)
    nvml_sim.machine.hang("nvmlSystemGetDriverVersion", 3)
    report = gather()
    assert report.driver.error == "the NVIDIA driver does not answer"
    assert report.driver.driver_version is None


def test_the_sockets_are_those_at_which_a_daemon_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("GPUDOCTOR_SOCKET", str(tmp_path / "own.sock"))
    (tmp_path / "own.sock").touch()
    (socket,) = [place for place in gather().places if place.what == "Socket"]
    assert (socket.path, socket.exists) == (str(tmp_path / "own.sock"), True)
    monkeypatch.setenv("GPUDOCTOR_SOCKET", "off")
    assert "Socket" not in {place.what for place in gather().places}


def test_wrong_settings_are_named_and_the_rest_is_still_said(tmp_path, capsys):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[serve]\nlissten = 1\n")
    assert run(["--config", str(wrong), "--version", "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "unknown setting: serve.lissten" in said
    assert "Runs with" in said


def test_settings_say_where_the_daemon_listens(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[serve]\nlisten = "0.0.0.0:1234"\n')
    assert gather(str(file)).listen == "0.0.0.0:1234"


@pytest.mark.parametrize("flag", ["--verbose", "--json"])
def test_its_options_alone_are_a_usage_error(flag, capsys):
    assert run([flag, "ps"]) == 2
    assert f"{flag} goes with --version" in capsys.readouterr().err


def test_a_distribution_that_is_not_installed_requires_nothing_known():
    assert dependencies("there-is-no-such-distribution") == {}


@pytest.mark.integration
def test_nothing_heavy_is_loaded_for_the_report():
    code = (
        "import sys\n"
        "from gpudoctor.cli.main import run\n"
        "assert run(['--version', '--verbose']) == 0\n"
        "print('LOADED', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stderr.rpartition("LOADED")[2].split())
    assert not loaded & {"torch", "textual", "rich", "jinja2", "prometheus_client", "numpy"}


def test_the_changelog_begins_with_this_version():
    changelog = Path(__file__).parents[2] / "CHANGELOG.md"
    headings = [line for line in changelog.read_text().splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == __version__
