from __future__ import annotations

from pathlib import Path

import pytest

from gpudoctor.host.missing import no_process

HOSTS = "pid:[4026531836]"


def proc(tmp_path: Path, namespace: str) -> Path:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(namespace)
    return tmp_path


def test_a_pid_of_nobody_is_only_said_not_to_be_there(tmp_path):
    error = no_process(12, proc(tmp_path, HOSTS))
    assert (error.message, error.cause) == ("there is no process 12", None)


def test_in_a_container_it_is_said_that_pids_of_outside_mean_nothing(tmp_path):
    error = no_process(12, proc(tmp_path, "pid:[4026532999]"))
    assert error.message == "there is no process 12 in this container"
    assert "--pid=host" in (error.hint or "")


def test_what_the_driver_lists_is_outside_of_a_container_and_dead_on_the_host(tmp_path):
    inside = no_process(12, proc(tmp_path / "a", "pid:[4026532999]"), listed=True)
    assert "cannot be reached from here" in (inside.cause or "")
    outside = no_process(12, proc(tmp_path / "b", HOSTS), listed=True)
    assert outside.message == "process 12 has ended, and the driver lists it still"
    assert "gpudoctor orphans" in (outside.hint or "")


def test_what_proc_hides_is_not_said_to_be_missing(monkeypatch):
    monkeypatch.setattr("gpudoctor.host.missing.exists", lambda pid: True)
    assert "hides it" in (no_process(4194304).cause or "")


@pytest.mark.parametrize("listed", [True, False])
def test_a_machine_that_does_not_tell_its_namespace_is_not_taken_for_the_host(tmp_path, listed):
    assert "in this container" in no_process(12, tmp_path, listed=listed).message
