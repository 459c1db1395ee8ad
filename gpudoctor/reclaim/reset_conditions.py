"""What must hold before a GPU is reset: pure functions of what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.reset import Interrupted
from gpudoctor.model.snapshot import Device, DeviceState

_UNSEEN = "It has ended, or is another container's: `gpudoctor orphans` says more."
# The NVLink peers of these must be reset in the same command, and so must those of one that is not known.
_WITH_PEERS = (None, "Kepler", "Maxwell", "Pascal", "Volta", "Turing")
# On a machine with NVSwitches these are reset alone only while the fabric manager runs.
_BY_FABRIC_MANAGER = "Ampere"
_ADVISED = {
    "reset the GPU": Standing.OK,
    "drain and reset": Standing.OK,
    "none": Standing.WARN,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A GPU that is to be reset (`targets[0]`), those that go with it, and what was seen around them.

    `all_seen` is True where every process's open files could be read. `monitors` are programs that
    watch GPUs, though none of these was seen to have one of them open: their pids and names.
    """

    targets: tuple[Device, ...]
    interrupts: tuple[Interrupted, ...]
    busy_elsewhere: tuple[int, ...]
    monitors: tuple[tuple[int, str], ...] = ()
    root: bool = True
    all_seen: bool = True
    container: str | None = None
    virtual_machine: bool = False
    drm_loaded: bool = False
    nvidia_smi: str | None = "/usr/bin/nvidia-smi"


def with_peers(
    target: Device, devices: tuple[Device, ...], *, fabric_manager: bool, switches: bool
) -> tuple[Device, ...]:
    """`target`, and the GPUs that must be reset in the same command.

    Which GPU is at the other end of a link is not asked: every one with a link counts as a peer.
    """
    if not target.nvlink.links_active or _resets_alone(target, fabric_manager, switches):
        return (target,)
    peers = (one for one in devices if one.uuid != target.uuid and one.nvlink.links_active)
    return (target, *peers)


def _resets_alone(target: Device, fabric_manager: bool, switches: bool) -> bool:
    architecture = target.facts.architecture
    if architecture == _BY_FABRIC_MANAGER:
        return fabric_manager or not switches
    return architecture not in _WITH_PEERS


def reset_conditions(scene: Scene) -> tuple[Condition, ...]:
    """Everything that was looked at before a reset."""
    return (
        *_rights(scene),
        _advice(scene.targets[0]),
        *_state(scene),
        *_holders(scene),
        *_monitors(scene),
        _persistence(scene),
        *_display(scene),
        _links(scene),
        *_mig(scene),
        *_place(scene),
        _elsewhere(scene),
    )


def _rights(scene: Scene) -> Iterator[Condition]:
    if scene.root:
        yield Condition("root", Standing.OK, "we are root")
    else:
        yield Condition("root", Standing.REFUSE, "only root may reset a GPU", "Run it with sudo.")
    if scene.nvidia_smi is None:
        text = "nvidia-smi is not on PATH, and no other program can reset a GPU"
        yield Condition("nvidia-smi", Standing.REFUSE, text)


def _advice(device: Device) -> Condition:
    action = device.health.recovery_action
    if action is None:
        text = "this driver does not say which recovery it recommends"
        return Condition("advice", Standing.UNKNOWN, text)
    if action == "none":
        text = "the driver recommends no recovery of this GPU"
        return Condition("advice", Standing.WARN, text)
    standing = _ADVISED.get(action, Standing.WARN)
    text = f"the driver recommends: {action}"
    hint = None if standing is Standing.OK else "A reset is less than that, and may not be enough."
    return Condition("advice", standing, text, hint)


def _state(scene: Scene) -> Iterator[Condition]:
    for device in scene.targets:
        if device.state is DeviceState.LOST:
            text = f"GPU {device.index} is off the bus: a reset may not reach it"
            yield Condition("state", Standing.WARN, text, "If it fails, only a reboot helps.")
        elif device.state is not DeviceState.OK:
            text = f"GPU {device.index} does not answer: nvidia-smi may hang as well"
            yield Condition("state", Standing.WARN, text)


def _holders(scene: Scene) -> Iterator[Condition]:
    for one in scene.interrupts:
        where = ", ".join(str(index) for index in one.gpus)
        text = f"{one.name} ({one.pid}) has GPU {where} open"
        if one.daemon is None:
            hint = f"gpudoctor kill {one.pid}" if one.visible else _UNSEEN
            yield Condition("process", Standing.REFUSE, text, hint)
        else:
            # Switching persistence mode off makes its daemon let go by itself.
            lets_go = one.name.startswith("nvidia-persiste")
            standing = Standing.WARN if lets_go else Standing.REFUSE
            yield Condition("daemon", standing, text, one.daemon)
    if not scene.all_seen:
        text = "open files of other users or other containers cannot be seen from here"
        yield Condition("holders", Standing.UNKNOWN, text)
    elif not scene.interrupts:
        yield Condition("holders", Standing.OK, "no process has it open")


def _monitors(scene: Scene) -> Iterator[Condition]:
    for pid, name in scene.monitors:
        text = f"{name} ({pid}) watches GPUs, and may open this one at any moment"
        yield Condition("monitor", Standing.WARN, text, "Stop it for the time of the reset.")


def _persistence(scene: Scene) -> Condition:
    modes = [device.health.persistence_mode for device in scene.targets]
    if any(modes):
        text = "persistence mode is on, which counts as a client: it is off during the reset"
        return Condition("persistence", Standing.OK, text)
    if None in modes:
        text = "the driver does not tell whether persistence mode is on"
        return Condition("persistence", Standing.UNKNOWN, text)
    return Condition("persistence", Standing.OK, "persistence mode is off")


def _display(scene: Scene) -> Iterator[Condition]:
    shown = [device.index for device in scene.targets if device.health.display_active]
    if shown:
        text = f"GPU {shown[0]} draws a screen"
        hint = "sudo systemctl isolate multi-user.target"
        yield Condition("display", Standing.REFUSE, text, hint)
    elif all(device.health.display_active is False for device in scene.targets):
        yield Condition("display", Standing.OK, "it draws no screen")
    else:
        text = "the driver does not tell whether it draws a screen"
        yield Condition("display", Standing.UNKNOWN, text)
    if scene.drm_loaded:
        text = "the module nvidia_drm is loaded, which is reported to block resets"
        yield Condition("drm", Standing.WARN, text, "sudo modprobe -r nvidia_drm")


def _links(scene: Scene) -> Condition:
    target, *peers = scene.targets
    if peers:
        names = ", ".join(str(one.index) for one in peers)
        ampere = target.facts.architecture == _BY_FABRIC_MANAGER
        why = "no fabric manager runs" if ampere else "it is older than Ampere"
        text = f"its NVLink peers are reset with it, because {why}: GPU {names}"
        return Condition("nvlink", Standing.WARN, text)
    if target.nvlink.links_active:
        return Condition("nvlink", Standing.OK, "it can be reset without its NVLink peers")
    if target.nvlink.links_active is None and (
        target.facts.nvlink_count or target.state is not DeviceState.OK
    ):
        text = "the driver does not tell which NVLinks are up"
        return Condition("nvlink", Standing.UNKNOWN, text)
    return Condition("nvlink", Standing.OK, "no NVLink of it is up")


def _mig(scene: Scene) -> Iterator[Condition]:
    for device in scene.targets:
        if device.mig.enabled:
            text = (
                f"GPU {device.index} is in MIG mode: its {len(device.mig.instances)} instances are "
                "gone after a reset"
            )
            hint = "Note them with `nvidia-smi -L` and make them again afterwards."
            yield Condition("mig", Standing.WARN, text, hint)
        elif device.mig.enabled_after_reset:
            text = f"a pending change of MIG mode of GPU {device.index} takes effect"
            yield Condition("mig", Standing.WARN, text)


def _place(scene: Scene) -> Iterator[Condition]:
    if scene.container is not None:
        text = f"we run inside a container ({scene.container}): what holds the GPU may be outside"
        yield Condition("container", Standing.WARN, text)
    if scene.virtual_machine:
        text = "we run inside a virtual machine, where a reset is often not available"
        yield Condition("virtual-machine", Standing.WARN, text)
    if "GeForce" in scene.targets[0].facts.name:
        text = "GeForce cards often do not support a reset"
        yield Condition("model", Standing.WARN, text)


def _elsewhere(scene: Scene) -> Condition:
    if not scene.busy_elsewhere:
        return Condition("others", Standing.OK, "no other GPU of this machine is in use")
    names = ", ".join(str(index) for index in scene.busy_elsewhere)
    text = f"GPU {names} are in use; where this GPU cannot be reset alone, the driver refuses"
    return Condition("others", Standing.OK, text)
