from __future__ import annotations

from pathlib import Path

import pytest

from gpudoctor.host.procs import LocalHost

STAT = "{pid} (python) S 1 1 1 0 -1 0 0 0 0 0 10 5 0 0 20 0 1 0 100 1000 50 0\n"
HOSTS, OURS = "pid:[4026531836]", "pid:[4026532999]"


def machine(tmp_path: Path, namespace: str, *, driver: bool = True) -> Path:
    """Process 7 has a GPU open and process 8 has not."""
    root = tmp_path / "proc"
    (root / "self/ns").mkdir(parents=True)
    (root / "self/ns/pid").symlink_to(namespace)
    (root / "stat").write_text("cpu 1 1 1 1 1 1 1 1\nbtime 1000\n")
    for pid, target in ((7, "/dev/nvidia0"), (8, "/dev/null")):
        (root / str(pid) / "fd").mkdir(parents=True)
        (root / str(pid) / "fd/3").symlink_to(target)
        (root / str(pid) / "stat").write_text(STAT.format(pid=pid))
    (tmp_path / "dev").mkdir()
    if driver:
        (tmp_path / "dev/nvidiactl").touch()
    return root


def known(root: Path) -> set[int]:
    return set(LocalHost(root).processes(frozenset([7, 8])))


def test_in_a_container_a_process_without_a_gpu_is_not_taken_for_the_hosts_of_that_pid(tmp_path):
    assert known(machine(tmp_path, OURS)) == {7}


@pytest.mark.parametrize(("namespace", "driver"), [(HOSTS, True), (OURS, False)])
def test_where_numbers_cannot_be_confused_nobody_is_doubted(tmp_path, namespace, driver):
    assert known(machine(tmp_path, namespace, driver=driver)) == {7, 8}


def test_a_process_whose_files_are_closed_to_us_is_not_doubted(tmp_path):
    root = machine(tmp_path, OURS)
    (root / "8/fd/3").unlink()
    (root / "8/fd").rmdir()
    assert known(root) == {7, 8}
