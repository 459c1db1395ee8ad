"""What a reset would interrupt, on a made-up /proc."""

from __future__ import annotations

import msgspec
import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.reclaim.reset_look import find, look
from tests.builders import GIB, device, process, snapshot, uuid_of
from tests.reclaim.fake_proc import FakeProc


def card(index: int):
    made = device(index)
    return msgspec.structs.replace(
        made, facts=msgspec.structs.replace(made.facts, minor_number=index)
    )


@pytest.fixture
def root(tmp_path):
    return FakeProc(tmp_path)


def seen(root, *rows, wanted: int = 0):
    machine = snapshot(card(0), card(1), processes=rows)
    return look(machine.devices[wanted], machine, root.path)


def test_listed_processes_are_named_with_what_they_hold_there(root):
    scene = seen(root, process(100, 0, 5 * GIB), process(101, 1, 7 * GIB))
    (one,) = scene.interrupts
    assert (one.pid, one.memory_used_bytes, one.gpus, one.listed) == (100, 5 * GIB, (0,), True)
    assert scene.busy_elsewhere == (1,)


def test_who_only_has_the_device_open_is_named_too(root):
    root(7, "python", "/dev/nvidia0", command=("python", "left.py"))
    root(8, "python", "/dev/nvidia1")
    (one,) = seen(root).interrupts
    assert (one.pid, one.command, one.listed, one.daemon) == (7, ("python", "left.py"), False, None)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nv-hostengine", "nvidia-dcgm"),
        ("nvidia-persiste", "nvidia-persistenced"),
        ("Xorg", "multi-user.target"),
        ("nvidia-cuda-mps", "quit"),
        ("nv-fabricmanage", "fabricmanager"),
    ],
)
def test_the_machines_own_daemons_are_named_with_the_way_to_stop_them(root, name, hint):
    root(7, name, "/dev/nvidia0")
    assert hint in seen(root).interrupts[0].daemon


@pytest.mark.parametrize(
    "command",
    [
        ("/opt/venv/bin/python", "/opt/venv/bin/gpudoctor", "serve"),
        ("python3", "-m", "gpudoctor", "serve"),
        ("python3", "-P", "-m", "gpudoctor", "serve"),
        ("gpudoctor", "serve"),
    ],
)
def test_our_own_daemon_is_known(root, command):
    root(7, "gpudoctor", "/dev/nvidia0", command=command)
    assert "gpudoctor" in seen(root).interrupts[0].daemon


def test_a_daemon_that_has_not_opened_the_gpu_is_a_monitor(root):
    root(7, "dcgm-exporter")
    root(8, "python", command=("python", "-m", "gpudoctor", "serve"))
    root(9, "python", command=("python", "gpudoctor_example.py", "serve"))
    scene = seen(root)
    assert scene.interrupts == ()
    assert sorted(scene.monitors) == [(7, "dcgm-exporter"), (8, "gpudoctor serve")]


def test_the_machine_around_is_looked_at(root):
    (root.path / "proc/modules").write_text("nvidia 1 2 -\nnvidia_drm 1 0 -\n")
    (root.path / "proc/cpuinfo").write_text("processor: 0\nflags\t: fpu hypervisor sse\n")
    (root.path / ".dockerenv").touch()
    scene = seen(root)
    assert scene.drm_loaded
    assert scene.virtual_machine
    assert scene.container == "docker"
    assert not scene.all_seen


def test_a_gpu_is_found_by_index_uuid_and_bus():
    machine = snapshot(card(0), card(1))
    for wanted in ("1", uuid_of(1), machine.devices[1].facts.pci_bus_id.lower()):
        assert find(wanted, machine).index == 1


@pytest.mark.parametrize("wanted", ["2", "GPU-", "", "H100"])
def test_what_names_no_gpu_or_several_is_an_error(wanted):
    with pytest.raises(GpuDoctorError):
        find(wanted, snapshot(card(0), card(1)))
