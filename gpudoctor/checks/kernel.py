"""The kernel's side of the driver: other drivers, signatures, firmware, device files."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.driver import failure_of
from gpudoctor.checks.facts.machine import DeviceFile
from gpudoctor.checks.make import MACHINE, error, issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity

_INSTALL = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
_OPEN_ONLY = (10, 0)
_OPEN_FROM = (7, 5)


@check(
    "driver.nouveau",
    title="The nouveau driver holds a GPU",
    needs=("machine",),
    tier="B",
    severity=Severity.ERROR,
    sources=(issue("NVIDIA/gpu-operator", 8), _INSTALL),
)
def nouveau(ctx: CheckContext) -> Iterator[Finding]:
    """The free driver nouveau was loaded first and holds the GPU, so NVIDIA's cannot take it."""
    machine = ctx.the_machine()
    held = [g.address for g in machine.pci_gpus if g.driver == "nouveau"]
    if held:
        yield error(
            MACHINE,
            "the kernel driver nouveau holds the GPU; NVIDIA's driver cannot use it",
            *(f"{address} is held by nouveau" for address in held),
            fix="Keep nouveau from loading, then reboot.",
            run=[
                (
                    "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | "
                    "sudo tee /etc/modprobe.d/blacklist-nouveau.conf"
                ),
                "sudo update-initramfs -u && sudo reboot",
            ],
        )


@check(
    "driver.secure-boot",
    title="Secure Boot refuses the driver's module",
    needs=("machine",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_INSTALL,),
)
def secure_boot(ctx: CheckContext) -> Iterator[Finding]:
    """With Secure Boot on, the kernel loads only signed modules. A module that DKMS built needs its
    key enrolled once, at the console, during a reboot."""
    kernel = ctx.the_machine().kernel
    on = ctx.need("secure boot", kernel.secure_boot, "the firmware does not tell (no UEFI?)")
    log = ctx.kernel_log
    refused = log.matching("Key was rejected|module verification failed") if log else ()
    if not on or "nvidia" in kernel.modules or not ctx.the_machine().pci_gpus:
        return
    if refused or kernel.module_built:
        yield error(
            MACHINE,
            "Secure Boot is on and the NVIDIA module is not loaded"
            + (": its signature was refused" if refused else ""),
            *refused[-2:],
            fix="Enrol the key with which the module was signed (a password is asked for at the next "
            "boot), or use the distribution's signed modules, or switch Secure Boot off.",
            run=[
                "modinfo -F signer nvidia",
                "sudo mokutil --import /var/lib/shim-signed/mok/MOK.der && sudo reboot",
            ],
        )


@check(
    "driver.module-flavour",
    title="The wrong of the two kernel modules for this GPU",
    needs=("gpus", "machine"),
    tier="C",
    severity=Severity.ERROR,
    sources=("https://github.com/NVIDIA/open-gpu-kernel-modules",),
)
def module_flavour(ctx: CheckContext) -> Iterator[Finding]:
    """GPUs of the Blackwell family work only with the open kernel module, GPUs before Turing only with
    the proprietary one."""
    banner = ctx.need(
        "banner", ctx.the_machine().kernel.module_banner, "/proc/driver/nvidia/version is not there"
    )
    is_open = "Open Kernel Module" in banner
    branch = (ctx.the_machine().kernel.module_version or "580").partition(".")[0]
    for device, capability in ctx.reporting(lambda d: d.facts.compute_capability):
        if capability >= _OPEN_ONLY and not is_open:
            wanted, package = "open", f"nvidia-driver-{branch}-open"
        elif capability < _OPEN_FROM and is_open:
            wanted, package = "proprietary", f"nvidia-driver-{branch}"
        else:
            continue
        yield error(
            f"GPU {device.index}",
            f"{device.facts.name} needs the {wanted} kernel module",
            banner.splitlines()[0],
            fix=f"Install the {wanted} flavour of the driver and reboot.",
            run=[f"sudo apt install {package}"],
        )


@check(
    "driver.firmware",
    title="The GPU firmware of the loaded driver is missing",
    needs=("machine",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_INSTALL,),
)
def firmware(ctx: CheckContext) -> Iterator[Finding]:
    """The driver loads a firmware (GSP) of exactly its own version into the GPU. Where its folder is
    missing, the start of the GPU fails."""
    kernel = ctx.the_machine().kernel
    log = ctx.kernel_log
    failed = log.matching(r"gsp_.*\.bin.*fail|fail.*gsp_.*\.bin") if log else ()
    if failed:
        yield error(
            MACHINE,
            "the GPU's firmware (GSP) could not be loaded",
            *failed[-2:],
            f"/lib/firmware/nvidia/{kernel.module_version}: "
            + {True: "there", False: "missing", None: "not known"}[kernel.firmware_present],
            fix="Reinstall the driver's package, which brings the firmware, and reboot.",
            run=[f"ls /lib/firmware/nvidia/{kernel.module_version}", "sudo dmesg | grep -i gsp"],
        )
        return
    present = ctx.need(
        "firmware", kernel.firmware_present, "neither the log nor /lib/firmware/nvidia tells"
    )
    if not present and ctx.nvml_failure is not None and ctx.the_machine().pci_gpus:
        failure_of(ctx)
        yield warning(
            MACHINE,
            f"there is no firmware for the loaded driver {kernel.module_version}",
            fix="Reinstall the driver's package, which brings the firmware, and reboot.",
            run=[f"ls /lib/firmware/nvidia/{kernel.module_version}"],
        )


@check(
    "driver.uvm-hmm",
    title="nvidia-uvm cannot get its memory range",
    needs=("kernel log",),
    tier="C",
    severity=Severity.ERROR,
    sources=("https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html",),
)
def uvm_hmm(ctx: CheckContext) -> Iterator[Finding]:
    """With the kernel's address randomisation there may be no free range for the GPU's memory (HMM);
    CUDA cannot start then. It is a known issue of CUDA 13.2's release notes."""
    lines = ctx.the_log().matching(r"request_free_mem_region\(\).*-34")
    if lines:
        yield error(
            MACHINE,
            "nvidia-uvm found no free range for the GPU's memory (error -34)",
            lines[-1],
            fix="Switch HMM off in nvidia-uvm, or boot with nokaslr.",
            run=[
                "echo 'options nvidia_uvm uvm_disable_hmm=1' | sudo tee /etc/modprobe.d/uvm.conf",
                "sudo reboot",
            ],
        )


@check(
    "driver.device-permission",
    title="The device files may not be opened",
    needs=("machine",),
    tier="B",
    severity=Severity.ERROR,
    sources=(
        issue("NVIDIA/nvidia-container-toolkit", 251),
        "https://slurm.schedmd.com/gres.html",
    ),
    after=("container.lost-gpu",),
)
def device_permission(ctx: CheckContext) -> Iterator[Finding]:
    """A /dev/nvidia file cannot be opened. EACCES is a matter of mode and group; EPERM comes from the
    device cgroup: no GPU was given to this job or container. A job that was given some of the GPUs may
    not open the others, and that is not reported."""
    nodes = [n for n in ctx.the_machine().device_nodes if n.path != "/dev/dxg"]
    files = ctx.need("device files", nodes or None, "there are no /dev/nvidia files")
    for code, why, fix, run in (
        (
            "EACCES",
            "the file mode or group does not allow it",
            "Join the group that owns the files and log in anew.",
            ["ls -l /dev/nvidia*", "sudo usermod -aG video,render $USER"],
        ),
        (
            "EPERM",
            "the device cgroup does not allow it: this job or container was given no such GPU",
            "Ask the scheduler or the container runtime for a GPU.",
            ["srun --gres=gpu:1 ...", "docker run --gpus all ..."],
        ),
    ):
        denied = [n.path for n in files if n.problem == code]
        if code == "EPERM" and not _none_left(files):
            continue
        if denied:
            yield error(
                MACHINE,
                f"{', '.join(denied)} cannot be opened: {why}",
                *(f"open({path}): {code}" for path in denied),
                fix=fix,
                run=run,
            )


def _none_left(files: list[DeviceFile]) -> bool:
    """Whether the device cgroup leaves no GPU: all of them, or what each program needs, are refused."""
    gpus = [file for file in files if file.path[-1].isdigit()]
    common = [file for file in files if not file.path[-1].isdigit()]
    refused = [file for file in gpus if file.problem == "EPERM"]
    return (bool(gpus) and len(refused) == len(gpus)) or any(f.problem == "EPERM" for f in common)
