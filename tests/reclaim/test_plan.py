from __future__ import annotations

import os

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.lineage import Placement
from gpudoctor.reclaim.plan import own_line, plan
from gpudoctor.reclaim.protection import protection
from tests.builders import process, snapshot
from tests.reclaim.builders import lineage

SLEEP = "import time; print('ready'); time.sleep(60)"
TREE = """
import subprocess, time
child = subprocess.Popen(['sleep', '60'])
print(child.pid)
time.sleep(60)
"""


def test_the_plan_tells_the_memory_of_each_process(children):
    pid = children.python(SLEEP)
    (one,) = plan([pid], snapshot(processes=(process(pid, used=123),)))
    assert one.memory_used_bytes == 123
    assert one.command[-1] == SLEEP


def test_a_launcher_comes_before_what_it_launched(children):
    launcher = children.python(TREE)
    rank = children.adopt(int(children.said))
    assert [one.pid for one in plan([rank, launcher], None)] == [launcher, rank]


def test_a_child_without_the_gpu_is_not_in_the_plan(children):
    launcher = children.python(TREE)
    children.adopt(int(children.said))
    assert [one.pid for one in plan([launcher], None)] == [launcher]


@pytest.mark.parametrize("pid", [1, os.getpid(), os.getppid()], ids=("init", "we", "our parent"))
def test_we_and_those_above_us_are_refused(pid):
    with pytest.raises(GpuDoctorError, match="not to be ended"):
        plan([pid], None)


def test_one_refused_process_spares_all_the_others(children):
    pid = children.python(SLEEP)
    with pytest.raises(GpuDoctorError):
        plan([pid, os.getpid()], None)
    assert children.child(pid).poll() is None


def test_a_process_that_does_not_exist_is_an_error():
    with pytest.raises(GpuDoctorError, match="no process"):
        plan([4_194_303], None)


def why(**changes):
    found = protection(lineage(**changes), own_uid=1000, own_line=own_line())
    return found.id if found else None


def test_what_is_protected_and_what_is_not():
    service = Placement("/system.slice/x.service", system_unit="x.service")
    assert why() is None
    assert why(name="Xorg") == "daemon"
    assert why(name="nvidia-persiste") == "daemon"
    assert why(placement=service) == "service"
    assert why(tracer_pid=5) == "traced"
    assert why(uid=1001) == "owner"


def test_a_service_is_stopped_by_systemctl():
    unit = Placement("/user.slice/user@1000.service/app.slice/x.service", user_unit="x.service")
    found = protection(lineage(placement=unit), own_uid=1000, own_line=frozenset())
    assert found is not None
    assert found.hint == "systemctl --user stop x.service"
