"""Host memory that a process may still take, on made-up trees of /proc and /sys."""

from __future__ import annotations

import pytest

from gpudoctor.host.headroom import memory_headroom

GIB = 1024**3


@pytest.fixture
def machine(tmp_path):
    def put(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("proc/meminfo", f"MemTotal: 1 kB\nMemAvailable: {100 * GIB // 1024} kB\n")
    put.root = tmp_path
    return put


def test_without_control_groups_it_is_what_the_machine_has(machine):
    assert memory_headroom(7, machine.root) == 100 * GIB


def test_the_tightest_group_on_the_way_up_decides(machine):
    machine("proc/7/cgroup", "0::/a/b\n")
    for folder, limit, used in (("a/b", 50, 10), ("a", 30, 20), ("", 90, 1)):
        machine(f"sys/fs/cgroup/{folder}/memory.max", f"{limit * GIB}\n")
        machine(f"sys/fs/cgroup/{folder}/memory.current", f"{used * GIB}\n")
    assert memory_headroom(7, machine.root) == 10 * GIB


def test_files_in_the_cache_count_as_free(machine):
    machine("proc/7/cgroup", "0::/a\n")
    machine("sys/fs/cgroup/a/memory.max", f"{30 * GIB}\n")
    machine("sys/fs/cgroup/a/memory.current", f"{29 * GIB}\n")
    machine("sys/fs/cgroup/a/memory.stat", f"anon 5\ninactive_file {8 * GIB}\n")
    assert memory_headroom(7, machine.root) == 9 * GIB


def test_a_group_without_a_limit_says_nothing(machine):
    machine("proc/7/cgroup", "0::/a\n")
    machine("sys/fs/cgroup/a/memory.max", "max\n")
    machine("sys/fs/cgroup/a/memory.current", "5\n")
    assert memory_headroom(7, machine.root) == 100 * GIB


def test_groups_of_version_one_are_read_too(machine):
    machine("proc/7/cgroup", "3:cpu:/x\n9:memory:/jobs/1\n")
    machine("sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", f"{5 * GIB}\n")
    machine("sys/fs/cgroup/memory/jobs/1/memory.usage_in_bytes", f"{2 * GIB}\n")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
    assert memory_headroom(7, machine.root) == 3 * GIB


def test_a_machine_that_tells_nothing_is_unknown(tmp_path):
    assert memory_headroom(7, tmp_path) is None
