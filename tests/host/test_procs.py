"""What the local host says of processes, on the real /proc and on a fixture tree."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from gpudoctor.host.procs import LocalHost, user_name


@pytest.fixture
def child():
    code = "import time; print(flush=True); time.sleep(60)"
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    # Before its first line the interpreter is still growing.
    started.stdout.readline()
    yield started
    started.kill()
    started.communicate()


def facts_of(host: LocalHost, pid: int):
    return host.processes(frozenset([pid])).get(pid)


def test_a_process_is_described_as_psutil_describes_it(child):
    other = psutil.Process(child.pid)
    facts = facts_of(LocalHost(), child.pid)
    assert list(facts.command) == other.cmdline()
    assert facts.name == other.name()
    assert facts.user == other.username()
    assert facts.uid == other.uids().real
    assert facts.parent_pid == os.getpid()
    assert facts.working_directory == other.cwd()
    assert facts.key.started == pytest.approx(other.create_time(), abs=1.1)
    assert facts.memory_used_bytes == pytest.approx(other.memory_info().rss, rel=0.3)


def test_a_pid_that_does_not_exist_has_no_facts():
    assert LocalHost().processes(frozenset([2**22 + 1])) == {}


def test_the_start_time_is_the_same_for_every_observer(child):
    assert facts_of(LocalHost(), child.pid).key == facts_of(LocalHost(), child.pid).key


def test_cpu_is_since_the_last_look():
    host = LocalHost()
    own = os.getpid()
    facts_of(host, own)
    begun, until = time.monotonic(), time.process_time() + 0.2
    while time.process_time() < until:
        pass
    # On a machine with more to do, these 0.2 s of CPU take a second.
    share = 0.2 / (time.monotonic() - begun)
    busy = facts_of(host, own).cpu_ratio
    time.sleep(0.3)
    idle = facts_of(host, own).cpu_ratio
    assert busy > share / 2
    assert idle < busy / 2


def test_a_zombie_is_named_as_one():
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        deadline = time.monotonic() + 10
        while facts_of(LocalHost(), child.pid).state != "zombie":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.wait()


def test_the_host_reports_memory_and_load_as_psutil_does():
    host = LocalHost()
    host.reading()
    time.sleep(0.2)
    reading = host.reading()
    assert reading.memory_total_bytes == psutil.virtual_memory().total
    assert reading.memory_used_bytes == pytest.approx(
        psutil.virtual_memory().total - psutil.virtual_memory().available, rel=0.2
    )
    assert reading.cpu_count == os.cpu_count()
    assert 0 <= reading.cpu_ratio <= 1
    assert reading.load_average == pytest.approx(os.getloadavg(), abs=1)


def fixture_process(root, pid: int, *, name: bytes = b"python", command: bytes = b"python\0x.py\0"):
    folder = root / str(pid)
    folder.mkdir()
    after = b"S 1 7 7 0 -1 0 0 0 0 0 500 250 0 0 20 0 1 0 1000 0 256 0"
    (folder / "stat").write_bytes(b"%d (%s) %s\n" % (pid, name, after))
    (folder / "cmdline").write_bytes(command)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "stat").write_text("cpu  10 0 10 80 0 0 0 0 0 0\nbtime 1700000000\n")
    return tmp_path


def test_a_name_with_parentheses_and_spaces_does_not_shift_the_fields(tree):
    fixture_process(tree, 5, name=b"a) R 9 (b")
    facts = facts_of(LocalHost(tree), 5)
    assert (facts.name, facts.state, facts.parent_pid) == ("a) R 9 (b", "sleeping", 1)


def test_cpu_and_start_come_in_seconds(tree):
    fixture_process(tree, 5)
    facts = facts_of(LocalHost(tree), 5)
    ticks = os.sysconf("SC_CLK_TCK")
    assert facts.cpu_seconds == pytest.approx(750 / ticks)
    assert facts.key.started == pytest.approx(1700000000 + 1000 / ticks)
    assert facts.memory_used_bytes == 256 * os.sysconf("SC_PAGE_SIZE")


def test_bytes_that_are_not_utf_8_are_escaped(tree):
    fixture_process(tree, 5, command=b"python\0\xff\xfe.py\0")
    assert facts_of(LocalHost(tree), 5).command == ("python", "\\xff\\xfe.py")


def test_a_machine_without_proc_says_nothing(tmp_path):
    reading = LocalHost(tmp_path / "none").reading()
    assert reading.memory_total_bytes is None
    assert reading.load_average is None
    assert LocalHost(tmp_path / "none").processes(frozenset([1])) == {}


def test_a_user_without_a_name_is_its_number():
    assert user_name(4_123_456_789) == "4123456789"
