"""The driver: is it there, loaded, of one version, and does it answer?"""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError, NvmlFailure
from gpudoctor.checks.make import MACHINE, error, gpu, info, issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.snapshot import DeviceState

NO_PERMISSION = 4
NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
MISMATCH = 18
_CATALOGUE = "https://docs.nvidia.com/deploy/xid-errors/index.html"
_INSTALL = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
_REPORT = ["sudo dmesg | grep -iE 'nvrm|xid'", "sudo nvidia-bug-report.sh"]
_RELOAD = "sudo modprobe nvidia && sudo modprobe nvidia_uvm"


def failure_of(ctx: CheckContext) -> NvmlFailure:
    """Why NVML cannot be asked.

    Raises:
        NotReportedError: it can be.
    """
    if ctx.nvml_failure is None:
        raise NotReportedError("the driver answers")
    return ctx.nvml_failure


@check(
    "driver.no-gpu",
    title="No NVIDIA GPU in this machine",
    needs=("machine",),
    tier="A",
    severity=Severity.INFO,
    sources=(_INSTALL,),
)
def no_gpu(ctx: CheckContext) -> Iterator[Finding]:
    """Neither the PCI bus nor the driver shows an NVIDIA GPU: there is nothing that a driver or another
    build of torch could bring back."""
    kernel = ctx.the_machine().kernel
    if ctx.snapshot is not None and ctx.snapshot.devices:
        return
    if ctx.the_machine().pci_gpus or kernel.jetson_model or ctx.the_machine().node("/dev/dxg"):
        return
    if ctx.the_machine().node("/dev/nvidiactl") is None:
        yield info(
            MACHINE,
            "there is no NVIDIA GPU here: none on the PCI bus, and no device files",
            fix="On a virtual machine, see whether a GPU was assigned to it.",
            run=["lspci -nn | grep -i nvidia"],
        )


@check(
    "driver.not-loaded",
    title="The driver is not loaded",
    needs=("machine",),
    tier="A",
    severity=Severity.ERROR,
    sources=(_INSTALL, issue("NVIDIA/gpu-operator", 8)),
    after=("driver.nouveau", "driver.secure-boot"),
)
def not_loaded(ctx: CheckContext) -> Iterator[Finding]:
    """There is a GPU and no loaded NVIDIA kernel module: it was never installed, not built for this
    kernel (after a kernel update), or could not be loaded."""
    failure_of(ctx)
    machine, kernel = ctx.the_machine(), ctx.the_machine().kernel
    if not machine.pci_gpus or "nvidia" in kernel.modules or kernel.wsl or ctx.in_container:
        return
    held = sorted({f"{g.address} is held by {g.driver}" for g in machine.pci_gpus if g.driver})
    if kernel.module_built:
        why, fix, run = (
            "the module is there for this kernel and not loaded",
            "Load it, and look at the kernel log for why it was not loaded at the start.",
            [_RELOAD, _REPORT[0]],
        )
    else:
        known = (
            "there is none for this kernel" if kernel.module_built is False else "none is loaded"
        )
        why, fix, run = (
            known,
            "Install the driver; where it is installed through DKMS, build it for the running kernel.",
            [
                "sudo apt install linux-headers-$(uname -r) && sudo dkms autoinstall",
                _RELOAD,
            ],
        )
    yield error(
        MACHINE,
        f"the NVIDIA kernel module is not loaded: {why}",
        f"{len(machine.pci_gpus)} NVIDIA GPUs on the PCI bus, kernel {kernel.release}",
        *held,
        fix=fix,
        run=run,
    )


@check(
    "driver.library-missing",
    title="The driver's library is missing",
    needs=("machine",),
    tier="B",
    severity=Severity.ERROR,
    sources=(
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html",
    ),
    after=("driver.not-loaded", "container.no-gpu"),
)
def library_missing(ctx: CheckContext) -> Iterator[Finding]:
    """The kernel module is loaded, and libnvidia-ml.so.1 cannot be found: the user-space half of the
    driver is not installed, or was not put into this container."""
    if (
        failure_of(ctx).code != LIBRARY_NOT_FOUND
        or "nvidia" not in ctx.the_machine().kernel.modules
    ):
        return
    inside = ctx.in_container
    yield error(
        MACHINE,
        "the kernel module is loaded, but libnvidia-ml.so.1 cannot be found",
        f"NVIDIA_DRIVER_CAPABILITIES={ctx.environ.get('NVIDIA_DRIVER_CAPABILITIES', '(not set)')}",
        fix="Start the container with the GPUs and the capabilities utility and compute."
        if inside
        else "Install the driver's user-space package of exactly the module's version.",
        run=["docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."]
        if inside
        else ["cat /proc/driver/nvidia/version", "ldconfig -p | grep libnvidia-ml"],
    )


@check(
    "driver.version-mismatch",
    title="Kernel module and library of different versions",
    needs=(),
    tier="A",
    severity=Severity.ERROR,
    sources=(_INSTALL,),
)
def version_mismatch(ctx: CheckContext) -> Iterator[Finding]:
    """The driver was updated on disk and the old kernel module is still loaded. Nothing can use the
    GPUs until the module is loaded anew; unattended upgrades do this over night."""
    failure = failure_of(ctx)
    if failure.code != MISMATCH:
        return
    version = ctx.machine.kernel.module_version if ctx.machine else None
    yield error(
        MACHINE,
        "the driver's library does not fit the loaded kernel module: it was updated, not reloaded",
        *([f"loaded kernel module: {version}"] if version else []),
        *([failure.cause] if failure.cause else []),
        fix="Reboot. Or end all programs on the GPUs and reload the modules. To keep it from coming "
        "back, hold the driver's packages in unattended upgrades.",
        run=[
            "sudo reboot",
            "sudo rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && " + _RELOAD,
        ],
    )


@check(
    "driver.no-permission",
    title="This user may not ask the driver",
    needs=(),
    tier="B",
    severity=Severity.ERROR,
    sources=(issue("NVIDIA/nvidia-container-toolkit", 251),),
    after=("driver.device-permission", "container.lost-gpu"),
)
def no_permission(ctx: CheckContext) -> Iterator[Finding]:
    """nvmlInit is refused: the device files are not readable and writable for this user."""
    if failure_of(ctx).code == NO_PERMISSION:
        yield error(
            MACHINE,
            "the driver refuses this user (NVML: insufficient permissions)",
            fix="Look at the mode and group of the device files.",
            run=["ls -l /dev/nvidia*", "id"],
        )


@check(
    "driver.unusable",
    title="The driver is there and refuses to work",
    needs=("machine",),
    tier="B",
    severity=Severity.ERROR,
    sources=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html", _CATALOGUE),
    after=("driver.firmware", "driver.module-flavour", "container.lost-gpu", "xid.log"),
)
def unusable(ctx: CheckContext) -> Iterator[Finding]:
    """The kernel module is loaded or GPUs are on the bus, and nvmlInit fails in a way that has no simple
    cause: a GPU that could not be started, firmware, a broken installation."""
    failure, machine = failure_of(ctx), ctx.the_machine()
    loaded = "nvidia" in machine.kernel.modules
    if failure.code in (MISMATCH, NO_PERMISSION, LIBRARY_NOT_FOUND) or _is_hang(failure):
        return
    if failure.code == NOT_LOADED and not loaded:
        return
    if machine.pci_gpus or loaded:
        yield error(
            MACHINE,
            failure.message,
            *([failure.cause] if failure.cause else []),
            f"kernel module nvidia: {machine.kernel.module_version or 'not loaded'}",
            fix=failure.hint or "Read the kernel log for NVRM lines; then reinstall the driver.",
            run=_REPORT,
        )


def _is_hang(failure: NvmlFailure) -> bool:
    return failure.code is None and "not answer" in failure.message


@check(
    "driver.hangs",
    title="The driver does not answer",
    needs=(),
    tier="B",
    severity=Severity.ERROR,
    sources=(_CATALOGUE,),
    after=("driver.gpu-lost", "xid.log"),
)
def hangs(ctx: CheckContext) -> Iterator[Finding]:
    """A call into the driver did not return: a GPU or its firmware is stuck. Every program that touches
    the driver will hang as well, nvidia-smi among them."""
    if ctx.snapshot is None:
        failure = failure_of(ctx)
        if _is_hang(failure):
            yield error(
                MACHINE,
                "the NVIDIA driver does not answer",
                failure.cause or failure.message,
                fix="Read the kernel log for Xid and NVRM lines. A driver that is stuck needs a reboot.",
                run=_REPORT,
            )
        return
    for device in ctx.devices():
        if device.state is DeviceState.STALE:
            yield error(
                gpu(device),
                "does not answer: a call into the driver for this GPU did not return in time",
                fix="Read the kernel log for this GPU's Xids. Reset it, or reboot if that hangs as well.",
                run=[*_REPORT, f"sudo nvidia-smi --gpu-reset -i {device.index}"],
            )


@check(
    "driver.gpu-lost",
    title="A GPU has fallen off the bus",
    needs=("gpus",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_CATALOGUE, issue("NVIDIA/open-gpu-kernel-modules", 507)),
)
def gpu_lost(ctx: CheckContext) -> Iterator[Finding]:
    """The driver reports the GPU as lost (Xid 79): it no longer answers on PCIe. Power, heat, a riser
    or the card itself are the usual causes."""
    for device in ctx.devices():
        if device.state is DeviceState.LOST:
            yield error(
                gpu(device),
                "has fallen off the bus",
                *([device.error] if device.error else []),
                f"PCI address {device.facts.pci_bus_id}",
                fix="Save the report, then power the machine off and on. If it comes back: check power "
                "cables, temperature and seating; a lower clock limit shows whether power is the cause.",
                run=["sudo nvidia-bug-report.sh", "sudo nvidia-smi -lgc 300,1500"],
            )


@check(
    "driver.gpu-failed",
    title="A GPU answers with errors",
    needs=("gpus",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_CATALOGUE,),
    after=("driver.gpu-lost",),
)
def gpu_failed(ctx: CheckContext) -> Iterator[Finding]:
    """NVML lists the GPU and answers its questions with an error."""
    for device in ctx.devices():
        if device.state is DeviceState.FAILED:
            yield error(
                gpu(device),
                f"answers with an error: {device.error or 'unknown'}",
                fix="Read the kernel log for this GPU, then reset it.",
                run=[*_REPORT, f"sudo nvidia-smi --gpu-reset -i {device.index}"],
            )


@check(
    "driver.gpu-missing",
    title="A GPU on the bus that the driver does not list",
    needs=("driver", "machine"),
    tier="B",
    severity=Severity.ERROR,
    sources=(issue("NVIDIA/NVSentinel", 155),),
    after=("driver.gpu-lost",),
)
def gpu_missing(ctx: CheckContext) -> Iterator[Finding]:
    """The PCI bus shows more NVIDIA GPUs than the driver lists: the start of one failed, or another
    kernel driver holds it. A container or a job that got only some of the GPUs is not looked at."""
    refused = any(node.problem == "EPERM" for node in ctx.the_machine().device_nodes)
    job = ctx.system is not None and ctx.system.scheduler.name is not None
    if ctx.in_container or job or refused or ctx.the_snapshot().source != "nvml":
        raise NotReportedError("only some of the machine's GPUs may be visible here")
    on_bus = ctx.the_machine().pci_gpus
    listed = ctx.the_snapshot().devices
    known = {device.facts.pci_bus_id.lower()[-12:] for device in listed}
    absent = [g for g in on_bus if g.address.lower()[-12:] not in known and g.driver != "vfio-pci"]
    if len(listed) < len(on_bus) and absent:
        yield error(
            MACHINE,
            f"{len(on_bus)} GPUs on the PCI bus, and the driver lists {len(listed)}",
            *(f"not listed: {g.address} (kernel driver: {g.driver or 'none'})" for g in absent),
            fix="Look for RmInitAdapter in the kernel log. Reseat the card, or install a driver that "
            "knows this model.",
            run=["sudo dmesg | grep -iE 'nvrm|RmInitAdapter'"],
        )


@check(
    "driver.nvidia-smi",
    title="nvidia-smi hangs or fails",
    needs=("system",),
    tier="B",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deploy/nvidia-smi/index.html",),
    after=(
        "driver.hangs",
        "driver.not-loaded",
        "driver.version-mismatch",
        "driver.library-missing",
    ),
)
def nvidia_smi(ctx: CheckContext) -> Iterator[Finding]:
    """nvidia-smi did not answer. Tools that start it without a time limit, such as torch's
    collect_env, hang with it."""
    tool = ctx.need("nvidia-smi", ctx.nvidia_smi, "nvidia-smi was not looked for")
    if tool.path is None:
        raise NotReportedError("there is no nvidia-smi on PATH")
    if tool.error:
        yield warning(
            "nvidia-smi",
            f"nvidia-smi does not work: {tool.error}",
            f"path: {tool.path}",
            fix="Where NVML answers, this nvidia-smi is of another driver or is no NVIDIA program; "
            "where it hangs, read the kernel log for a GPU that is stuck.",
            run=["timeout 10 nvidia-smi -L", _REPORT[0]],
        )
