"""PCIe, NVLink, NUMA and peer-to-peer: the ways by which data reach a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.facts.machine import MachineFacts, PciFunction
from gpudoctor.checks.make import MACHINE, gpu, info, issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.snapshot import Device
from gpudoctor.units import count

_NVML = "https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html"
_REPLAYS = 1000


@check(
    "links.pcie-width",
    title="A PCIe link with fewer lanes than both ends have",
    needs=("gpus",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_NVML,),
)
def pcie_width(ctx: CheckContext) -> Iterator[Finding]:
    """The link came up with fewer lanes than the GPU and the slot could use, so that copies from and
    to the host take longer. Unlike the generation, the width does not drop when the GPU idles."""
    told = ctx.reporting_both(lambda d: d.pcie.width, lambda d: d.facts.pcie_width_max)
    for device, (width, most) in told:
        if 0 < width < most:
            yield warning(
                gpu(device),
                f"PCIe link with {width} of {most} lanes",
                f"PCI address {device.facts.pci_bus_id}",
                fix="Reseat the card; look at the riser cable, at the slot that is used and at the "
                "BIOS setting for lane bifurcation.",
                run=[f"nvidia-smi -i {device.index} -q -d PCIE"],
            )


@check(
    "links.pcie-generation",
    title="A busy GPU on a slow PCIe generation",
    needs=("gpus",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_NVML,),
)
def pcie_generation(ctx: CheckContext) -> Iterator[Finding]:
    """The link runs at a lower generation than possible while the GPU works. An idle GPU lowers it to
    save power, so only busy ones are looked at."""
    told = ctx.reporting(
        lambda d: (
            None
            if d.pcie.generation is None
            or d.facts.pcie_generation_max is None
            or d.utilization.gpu_ratio is None
            else (d.pcie.generation, d.facts.pcie_generation_max, d.utilization.gpu_ratio)
        )
    )
    for device, (generation, most, busy) in told:
        if busy >= 0.5 and 0 < generation < most:
            yield warning(
                gpu(device),
                f"PCIe generation {generation} under load; {most} is possible",
                f"busy {busy * 100:.0f}% of the time",
                fix="Look at the slot's setting in the BIOS, at the riser, and at ASPM power saving.",
                run=[f"nvidia-smi -i {device.index} -q -d PCIE"],
            )


@check(
    "links.pcie-replays",
    title="Repeated PCIe packets",
    needs=("gpus",),
    tier="D",
    severity=Severity.INFO,
    sources=(_NVML,),
)
def pcie_replays(ctx: CheckContext) -> Iterator[Finding]:
    """Packets on the link had to be sent again. A few are normal; many since the driver was loaded
    speak of a bad contact or cable."""
    for device, replays in ctx.reporting(lambda d: d.pcie.replays):
        if replays >= _REPLAYS:
            yield info(
                gpu(device),
                f"{count(replays)} PCIe replays since the driver was loaded",
                fix="See whether the number still grows under load; if so, reseat the card or riser.",
                run=[f"nvidia-smi -i {device.index} -q -d PCIE"],
            )


@check(
    "links.nvlink-down",
    title="NVLinks that are not up",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deploy/nvml-api/group__NvLink.html",),
    after=("driver.fabric-manager",),
)
def nvlink_down(ctx: CheckContext) -> Iterator[Finding]:
    """Some, not all, of the GPU's NVLinks are up, so that peer-to-peer traffic has less bandwidth
    than on others of its model. A GPU without any link is not reported: it may have no bridge."""
    told = ctx.reporting(lambda d: d.nvlink.links_active)
    for device, active in told:
        most = max(count for other, count in told if other.facts.name == device.facts.name)
        if 0 < active < most:
            yield warning(
                gpu(device),
                f"{active} NVLinks are up; others of this model here have {most}",
                fix="Reset the GPU; if the link stays down, look at the bridge or the baseboard.",
                run=[f"nvidia-smi nvlink -s -i {device.index}"],
            )


@check(
    "links.nvlink-errors",
    title="Errors on NVLink",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deploy/nvml-api/group__NvLink.html",),
)
def nvlink_errors(ctx: CheckContext) -> Iterator[Finding]:
    """NVLink had to recover or to send again. Recoveries are seldom harmless."""
    told = ctx.reporting(
        lambda d: (
            None
            if d.nvlink.recovery_errors is None and d.nvlink.replay_errors is None
            else (d.nvlink.recovery_errors or 0, d.nvlink.replay_errors or 0)
        )
    )
    for device, (recoveries, replays) in told:
        if recoveries > 0 or replays > 0:
            yield warning(
                gpu(device),
                f"{count(recoveries)} NVLink recoveries and {count(replays)} replays",
                fix="Watch whether the numbers grow under load; then have bridge or board looked at.",
                run=[f"nvidia-smi nvlink -e -i {device.index}"],
            )


def _iommu_passes_through(command_line: str) -> bool:
    words = command_line.split()
    return any(
        word in ("iommu=pt", "intel_iommu=off", "amd_iommu=off", "iommu=off") for word in words
    )


@check(
    "links.iommu",
    title="An IOMMU between GPUs without NVLink",
    needs=("gpus", "machine"),
    tier="B",
    severity=Severity.WARNING,
    sources=(issue("NVIDIA/nccl", 257), issue("NVIDIA/nccl", 2079)),
)
def iommu(ctx: CheckContext) -> Iterator[Finding]:
    """With two or more GPUs and no NVLink, peer-to-peer goes over PCIe. An IOMMU that translates, or
    ACS on a bridge, sends it through the CPU: NCCL gets slow, and on some machines it hangs."""
    kernel = ctx.the_machine().kernel
    groups = ctx.need("iommu", kernel.iommu_groups, "the kernel does not list IOMMU groups")
    command_line = ctx.need("cmdline", kernel.command_line, "the kernel's command line is hidden")
    linked = any(d.nvlink.links_active for d in ctx.devices())
    if len(ctx.devices()) < 2 or linked or not groups or _iommu_passes_through(command_line):
        return
    yield warning(
        MACHINE,
        "the IOMMU is on and does not pass through: peer-to-peer copies between GPUs may be slow or hang",
        f"{groups} IOMMU groups, no NVLink, {len(ctx.devices())} GPUs",
        f"kernel command line: {command_line}",
        fix="Boot with iommu=pt. To see whether this is the cause, run once with NCCL_P2P_DISABLE=1.",
        run=[
            "NCCL_P2P_DISABLE=1 torchrun --nproc-per-node 2 your_script.py",
            "sudoedit /etc/default/grub  # add iommu=pt to GRUB_CMDLINE_LINUX, then: sudo update-grub",
        ],
    )


def _function(machine: MachineFacts, device: Device) -> PciFunction | None:
    wanted = device.facts.pci_bus_id.lower()
    # NVML writes the PCI domain with eight digits, sysfs with four.
    short = wanted[4:] if len(wanted.partition(":")[0]) == 8 else wanted
    return next((f for f in machine.pci_gpus if f.address.lower() == short), None)


@check(
    "links.numa",
    title="This process may only run far from a GPU",
    needs=("gpus", "machine"),
    tier="D",
    severity=Severity.INFO,
    sources=("https://docs.kernel.org/admin-guide/mm/numaperf.html",),
)
def numa(ctx: CheckContext) -> Iterator[Finding]:
    """All CPUs that this shell may use belong to another NUMA node than the GPU, so that every copy
    crosses the link between the CPUs."""
    machine = ctx.the_machine()
    allowed = ctx.need("cpus", machine.cpus, "the CPU affinity is not known")
    placed = [
        (device, found, found.local_cpus)
        for device in ctx.devices()
        if (found := _function(machine, device)) and found.local_cpus
    ]
    if not placed:
        raise NotReportedError("the kernel does not tell which CPUs are near a GPU")
    for device, found, near in placed:
        if not near & allowed:
            node = "another node" if found.numa_node is None else f"node {found.numa_node}"
            yield info(
                gpu(device),
                f"is near NUMA {node}, and this shell may only run on CPUs of another",
                f"near the GPU: {len(near)} CPUs; allowed here: {len(allowed)}",
                fix="Start the job on the GPU's node.",
                run=[
                    (
                        f"numactl --cpunodebind={found.numa_node or 0} --membind={found.numa_node or 0} "
                        "python main.py"
                    )
                ],
            )
