"""What stands in the way of a reset: one wrong thing at a time on a GPU that could be reset."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from gpudoctor.model.condition import Standing, refused
from gpudoctor.model.readings import HealthReading, MigInstance, MigReading, NvLinkReading
from gpudoctor.model.reset import Interrupted
from gpudoctor.model.snapshot import Device, DeviceState
from gpudoctor.reclaim.reset import commands
from gpudoctor.reclaim.reset_conditions import Scene, reset_conditions, with_peers
from tests.builders import device, uuid_of

HEALTHY = HealthReading(
    recovery_action="reset the GPU", persistence_mode=False, display_active=False
)


def card(
    index: int = 0, *, architecture: str | None = "Hopper", links: int = 0, **changes
) -> Device:
    health = changed(HEALTHY, **changes.pop("health", {}))
    made = device(index, health=health, nvlink=NvLinkReading(links_active=links), **changes)
    return replace(made, facts=changed(made.facts, architecture=architecture))


GOOD = Scene(targets=(card(),), interrupts=(), busy_elsewhere=())


def standing(scene: Scene) -> dict[str, Standing]:
    return {one.id: one.standing for one in reset_conditions(scene)}


def test_nothing_stands_in_the_way_on_an_idle_gpu_that_the_driver_wants_reset():
    assert set(standing(GOOD).values()) == {Standing.OK}


JOB = Interrupted(100, "python", (0,), ("python", "train.py"))
REFUSED = {
    "root": replace(GOOD, root=False),
    "nvidia-smi": replace(GOOD, nvidia_smi=None),
    "process": replace(GOOD, interrupts=(JOB,)),
    "daemon": replace(
        GOOD, interrupts=(Interrupted(5, "nv-hostengine", (0,), daemon="systemctl stop it"),)
    ),
    "display": replace(GOOD, targets=(card(health={"display_active": True}),)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_of_these_alone_refuses(name):
    assert [one.id for one in refused(reset_conditions(REFUSED[name]))] == [name]


WARNED = {
    "advice": replace(GOOD, targets=(card(health={"recovery_action": "none"}),)),
    "state": replace(GOOD, targets=(card(state=DeviceState.LOST),)),
    "monitor": replace(GOOD, monitors=((7, "gpudoctor serve"),)),
    "drm": replace(GOOD, drm_loaded=True),
    "container": replace(GOOD, container="docker"),
    "virtual-machine": replace(GOOD, virtual_machine=True),
    "daemon": replace(
        GOOD, interrupts=(Interrupted(5, "nvidia-persistenced", (0,), daemon="systemctl stop it"),)
    ),
    "mig": replace(
        GOOD, targets=(card(mig=MigReading(enabled=True, instances=(MigInstance("MIG-1", 1, 0),))),)
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_each_of_these_warns_and_does_not_refuse(name):
    assert standing(WARNED[name])[name] is Standing.WARN
    assert refused(reset_conditions(WARNED[name])) == ()


def test_a_recommended_reboot_is_more_than_a_reset():
    scene = replace(GOOD, targets=(card(health={"recovery_action": "reboot the node"}),))
    (advice,) = [one for one in reset_conditions(scene) if one.id == "advice"]
    assert advice.standing is Standing.WARN
    assert "reboot the node" in advice.text
    assert "may not be enough" in advice.hint


def test_what_cannot_be_seen_is_unknown_and_not_fine():
    blind = card(health={"recovery_action": None, "persistence_mode": None, "display_active": None})
    found = standing(replace(GOOD, targets=(blind,), all_seen=False))
    for name in ("advice", "persistence", "display", "holders"):
        assert found[name] is Standing.UNKNOWN


# ---- NVLink ----

MACHINE = (*(card(index, links=4) for index in range(3)), card(3))


def peers(architecture: str | None, **around: bool) -> list[int]:
    devices = tuple(
        replace(one, facts=changed(one.facts, architecture=architecture)) for one in MACHINE
    )
    found = with_peers(
        devices[1], devices, **({"fabric_manager": False, "switches": False} | around)
    )
    return [one.index for one in found]


@pytest.mark.parametrize("architecture", ["Hopper", "Blackwell", "Rubin", "architecture 14"])
def test_newer_gpus_are_reset_alone(architecture):
    assert peers(architecture, switches=True) == [1]


@pytest.mark.parametrize("architecture", ["Volta", "Pascal", None])
def test_older_and_unknown_ones_take_all_linked_ones_along(architecture):
    assert peers(architecture) == [1, 0, 2]


def test_ampere_behind_switches_needs_the_fabric_manager_to_be_reset_alone():
    assert peers("Ampere") == [1]
    assert peers("Ampere", switches=True, fabric_manager=True) == [1]
    assert peers("Ampere", switches=True) == [1, 0, 2]


def test_a_gpu_without_a_link_is_reset_alone():
    old = card(3, architecture="Volta")
    assert with_peers(old, (*MACHINE, old), fabric_manager=False, switches=False) == (old,)


# ---- the commands ----


def lines(*targets: Device) -> list[str]:
    scene = replace(GOOD, targets=targets, nvidia_smi="nvidia-smi")
    return [" ".join(command) for command in commands(scene)]


def test_the_command_names_the_gpu_by_its_uuid():
    assert lines(card()) == [f"nvidia-smi --gpu-reset -i {uuid_of(0)}"]


def test_never_is_a_reset_without_a_gpu_planned():
    for scene in (GOOD, *REFUSED.values(), *WARNED.values()):
        for command in commands(scene):
            assert command[command.index("-i") + 1].startswith("GPU-")


def test_a_gpu_that_has_not_told_its_uuid_is_named_by_its_index():
    lost = card(3, state=DeviceState.LOST)
    lost = replace(lost, facts=changed(lost.facts, uuid="unknown:3"))
    assert lines(lost) == ["nvidia-smi --gpu-reset -i 3"]


def test_peers_are_named_in_the_same_command():
    assert lines(card(1), card(0)) == [f"nvidia-smi --gpu-reset -i {uuid_of(1)},{uuid_of(0)}"]


def test_persistence_mode_is_off_during_the_reset_only_where_it_was_on():
    held = card(1, health={"persistence_mode": True})
    assert lines(card(0), held) == [
        f"nvidia-smi -i {uuid_of(1)} -pm 0",
        f"nvidia-smi --gpu-reset -i {uuid_of(0)},{uuid_of(1)}",
        f"nvidia-smi -i {uuid_of(1)} -pm 1",
    ]


def test_nobody_is_told_to_kill_a_process_that_cannot_be_reached():
    unseen = Interrupted(7, "a process that is not visible from here", (0,), visible=False)
    (found,) = refused(reset_conditions(replace(GOOD, interrupts=(unseen,))))
    assert "gpudoctor kill" not in (found.hint or "")
    assert "gpudoctor orphans" in (found.hint or "")
