from __future__ import annotations

from pathlib import Path

import pytest

from gpudoctor.host.keepers import kept
from gpudoctor.host.proc_files import parse_cgroup
from gpudoctor.model.lineage import Ancestor

ID = "ab" * 32
IN_DOCKER = parse_cgroup(f"0::/system.slice/docker-{ID}.scope\n")
INIT = Ancestor(1, "systemd")


@pytest.fixture
def proc(tmp_path) -> Path:
    machine = {"1": "/sbin/init", "2": "", "900": "python\0train.py"}
    for pid, command in machine.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(command)
    (tmp_path / "2/comm").write_text("kthreadd\n")
    (tmp_path / "uptime").write_text("1 1")
    return tmp_path


def test_a_container_with_a_shim_above_its_processes_is_looked_after(proc):
    shim = Ancestor(50, "containerd-shim")
    assert kept(proc, IN_DOCKER, (shim, INIT)) is True


def test_a_container_whose_id_no_command_names_has_lost_its_keeper(proc):
    assert kept(proc, IN_DOCKER, (INIT,)) is False


def test_a_keeper_of_an_unknown_name_is_found_by_the_container_s_id(proc):
    (proc / "60").mkdir()
    (proc / "60/cmdline").write_text(f"my-shim\0--id={ID}")
    assert kept(proc, IN_DOCKER, (INIT,)) is True


def test_a_process_in_no_container_has_no_keeper_to_lose(proc):
    assert kept(proc, parse_cgroup("0::/user.slice\n"), (INIT,)) is None


def test_inside_a_container_nothing_is_said(proc):
    (proc / "2/comm").write_text("python\n")
    assert kept(proc, IN_DOCKER, (INIT,)) is None


def test_where_other_processes_are_hidden_nothing_is_said(proc):
    (proc / "1/cmdline").unlink()
    assert kept(proc, IN_DOCKER, (INIT,)) is None


def test_a_chain_that_does_not_reach_the_machine_s_first_process_proves_nothing(proc):
    assert kept(proc, IN_DOCKER, (Ancestor(50, "sh"),)) is None
    assert kept(proc, IN_DOCKER, ()) is None
