from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gpudoctor.cli.service import _hidden, service
from gpudoctor.daemon.unit import unit
from gpudoctor.errors import GpuDoctorError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "systemd" / "user" / "gpudoctor.service"


def call(*arguments):
    return CliRunner().invoke(service, arguments)


def test_a_users_unit_is_written_and_the_next_steps_are_said(home):
    done = call("install", "--user", "--", "--interval", "10")
    assert done.exit_code == 0, done.output
    assert (
        f"ExecStart={sys.executable} -P -m gpudoctor serve --wait-for-driver --interval 10"
        in home.read_text().splitlines()
    )
    assert "systemctl --user enable --now gpudoctor.service" in done.output
    assert call("show", "--user", "--", "--interval", "10").stdout == home.read_text()


def test_a_unit_that_somebody_changed_is_left_alone_without_force(home):
    assert call("install", "--user").exit_code == 0
    assert call("install", "--user").exit_code == 0
    home.write_text("mine")
    done = call("install", "--user")
    assert isinstance(done.exception, GpuDoctorError)
    assert home.read_text() == "mine"
    assert call("install", "--user", "--force").exit_code == 0
    assert home.read_text() != "mine"


@pytest.mark.parametrize("wrong", [("--listen", "nowhere"), ("--intervall", "1"), ("extra",)])
def test_options_that_the_daemon_would_refuse_are_refused_at_once(home, wrong):
    done = call("install", "--user", "--", *wrong)
    assert done.exit_code != 0
    assert isinstance(done.exception, GpuDoctorError | click.UsageError | SystemExit)
    assert not home.exists()


def test_what_systemd_would_expand_is_escaped():
    text = unit(["/opt/100%/python", "$HOME", "two words"], system=False)
    assert "ExecStart=/opt/100%%/python '$$HOME' 'two words'\n" in text


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_understands_the_unit(tmp_path, system):
    path = tmp_path / "gpudoctor.service"
    path.write_text(unit([sys.executable, "-m", "gpudoctor", "serve"], system=system))
    manager = [] if system else ["--user"]
    done = subprocess.run(
        ["systemd-analyze", *manager, "verify", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    of_ours = [line for line in done.stderr.splitlines() if "gpudoctor" in line]
    assert of_ours == []


def test_only_a_policy_that_was_asked_for_gives_the_service_rights():
    usual = unit(["gpudoctor", "serve"], system=True).splitlines()
    reclaiming = unit(["gpudoctor", "serve"], system=True, reclaim=True).splitlines()
    assert set(usual) - set(reclaiming) == {"DynamicUser=yes", "CapabilityBoundingSet="}
    assert set(reclaiming) - set(usual) == {
        "User=root",
        "CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH",
    }
    own = unit(["gpudoctor", "serve"], system=False, reclaim=True)
    assert own == unit(["gpudoctor", "serve"], system=False)


@pytest.mark.parametrize("reclaim", [False, True])
def test_the_kernel_log_takes_one_capability_more_and_nothing_else(reclaim):
    usual = unit(["gpudoctor", "serve"], system=True, reclaim=reclaim).splitlines()
    reading = unit(
        ["gpudoctor", "serve"], system=True, reclaim=reclaim, kernel_log=True
    ).splitlines()
    [before] = set(usual) - set(reading)
    more = set(reading) - set(usual)
    after = next(line for line in more if line.startswith("CapabilityBoundingSet="))
    assert set(after.partition("=")[2].split()) == {*before.partition("=")[2].split(), "CAP_SYSLOG"}
    assert more - {after} == (set() if reclaim else {"AmbientCapabilities=CAP_SYSLOG"})
    # Another line that systemd knows would take the log away again.
    assert "ProtectKernelLogs" not in "".join(reading)


def test_a_users_own_service_cannot_be_given_the_kernel_log():
    refused = call("show", "--user", "--kernel-log").exception
    assert isinstance(refused, GpuDoctorError)
    assert "--user" in refused.message


def test_an_interpreter_that_the_services_user_cannot_reach_is_named():
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name)
        closed.chmod(0o755)
        python = closed / "python"
        python.write_text("")
        python.chmod(0o755)
        assert _hidden(python) is None
        closed.chmod(0o700)
        assert _hidden(python) == closed
        closed.chmod(0o755)
        python.chmod(0o700)
        assert _hidden(python) == python
        link = closed / "link"
        link.symlink_to(python)
        assert _hidden(link) == link


@pytest.fixture
def token(tmp_path):
    """A token that only its owner and its group may read, and the group's name."""
    path = tmp_path / "token"
    path.write_text("0123456789abcdef")
    group = next(one for one in grp.getgrall() if one.gr_gid and (not os.geteuid() or _mine(one)))
    os.chown(path, -1, group.gr_gid)
    path.chmod(0o640)
    return path, group.gr_name


def _mine(group):
    return group.gr_gid in {os.getegid(), *os.getgroups()}


def test_the_service_is_in_the_group_that_may_read_its_token(token):
    path, group = token
    shown = call("show", "--", "--token-file", str(path)).output
    assert f"\nSupplementaryGroups={group}\n" in shown
    assert (
        "SupplementaryGroups" not in call("show", "--user", "--", "--token-file", str(path)).output
    )
    path.chmod(0o644)
    assert "SupplementaryGroups" not in call("show", "--", "--token-file", str(path)).output


def test_a_token_that_the_service_could_not_read_is_refused_with_what_to_do(token):
    path, _ = token
    path.chmod(0o600)
    refused = call("show", "--", "--token-file", str(path)).exception
    assert isinstance(refused, GpuDoctorError)
    assert str(path) in refused.message
    assert f"chmod 640 {path}" in refused.hint


@pytest.mark.parametrize("option", ["--tls-cert", "--history", "--reclaim-policy"])
def test_a_file_that_systemd_would_not_find_is_refused(option):
    refused = call("show", "--user", "--", option, "a.pem").exception
    assert isinstance(refused, GpuDoctorError)
    assert str(Path.cwd() / "a.pem") in refused.hint


def test_rights_without_a_policy_are_refused():
    refused = call("show", "--allow-reclaim").exception
    assert isinstance(refused, GpuDoctorError)
    assert "-- --reclaim-policy" in refused.hint
    policy = "--reclaim-policy=/etc/gpudoctor/reclaim.toml"
    shown = call("show", "--allow-reclaim", "--", policy).output
    assert "User=root" in shown
    assert policy in shown
