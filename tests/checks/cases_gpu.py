"""Sick and nearly sick GPUs: (check, machine, a word of the finding; None where it must be silent)."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.facts.machine import PciFunction
from gpudoctor.model.orphan import Offer, Orphan, Reason, Verdict, Weight
from gpudoctor.model.probe import CudaDevice, CudaDriver
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.readings import (
    ClockReading,
    HealthReading,
    MemoryReading,
    MigInstance,
    MigReading,
    NvLinkReading,
    PcieReading,
    PowerReading,
    ThermalReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from tests.builders import AT, GIB, process, snapshot, uuid_of
from tests.checks.world import env, facts, gpu, gpus, healthy, log, machine, probe

Case = tuple[str, CheckContext, str | None]


def health(**changes: object) -> CheckContext:
    return gpus(gpu(health=replace(gpu().health, **changes)))


def clocks(*reasons: str) -> CheckContext:
    return gpus(gpu(clocks=ClockReading(1.2e9, 2.6e9, reasons=reasons)))


def mig(*instances: MigInstance, enabled: bool = True, later: bool = True) -> CheckContext:
    return gpus(gpu(mig=MigReading(enabled, instances, later)))


def instance(number: int) -> MigInstance:
    return MigInstance(f"MIG-{number:08d}-0000-0000-0000-000000000000", number, 0)


def iommu(command_line: str, *, linked: bool = False) -> CheckContext:
    links = NvLinkReading(18 if linked else 0, 18)
    return gpus(
        gpu(0, nvlink=links),
        gpu(1, nvlink=links),
        machine=machine(kernel={"command_line": command_line}),
    )


def near_cpus(first: int) -> CheckContext:
    cpus = frozenset(range(first, first + 8))
    return healthy(machine=machine(pci_gpus=(PciFunction("0000:01:00.0", "nvidia", 1, cpus),)))


def held(used: int, amount: int | None) -> CheckContext:
    device = gpu(memory=MemoryReading(80 * GIB, used, 80 * GIB - used))
    return gpus(device, processes=(process(used=amount),))


def left_over(verdict: Verdict) -> CheckContext:
    reason = Reason("launcher.gone", Weight.HIGH, "its launcher is gone", "/proc/4711/stat")
    offer = Offer("kill", "gpudoctor kill 4711", "End it.")
    key = ProcessKey(4711, AT)
    one = Orphan(4711, key, verdict, (reason,), (offer,), 8 * GIB, (1,), "python", user="ana")
    return healthy(orphans=(one,))


def event(code: int) -> CheckContext:
    return healthy(snapshot=snapshot(gpu(), events=(GpuEvent(AT, uuid_of(0), "xid", code),)))


def other_model(*seen: int) -> CheckContext:
    """Two models of GPU; CUDA tells them in the order `seen`, or tells nothing."""
    small = gpu(1, facts=facts(1, name="NVIDIA T4", compute_capability=(7, 5)))
    devices = tuple(CudaDevice(at, "a GPU", uuid_of(index)) for at, index in enumerate(seen))
    return gpus(gpu(0), small, probe=probe(driver=CudaDriver("libcuda.so.1", 0, devices=devices)))


XID_79 = "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', GPU has fallen off the bus."
CASES: list[Case] = [
    ("clocks.hardware-slowdown", clocks("hw_thermal_slowdown"), "too hot"),
    ("clocks.hardware-slowdown", clocks("hw_power_brake_slowdown"), "power brake"),
    ("clocks.hardware-slowdown", clocks("sw_power_cap", "sw_thermal_slowdown"), None),
    ("clocks.thermal-slowdown", clocks("sw_thermal_slowdown"), "too hot"),
    ("clocks.thermal-slowdown", clocks("sw_power_cap", "idle"), None),
    ("clocks.near-shutdown", gpus(gpu(thermal=ThermalReading(88))), "switches itself off"),
    ("clocks.near-shutdown", gpus(gpu(thermal=ThermalReading(86))), None),
    ("clocks.power-limit", gpus(gpu(power=PowerReading(200.0, 500.0))), "500 W"),
    ("clocks.power-limit", gpus(gpu(power=PowerReading(200.0, 699.5))), None),
    ("clocks.persistence", health(persistence_mode=False), "persistence mode is off"),
    ("clocks.persistence", health(persistence_mode=None, ecc_enabled=False), None),
    ("ecc.uncorrected", health(ecc_uncorrected_volatile=1), "1 uncorrected"),
    ("ecc.uncorrected", health(ecc_uncorrected_aggregate=9, ecc_corrected_volatile=90), None),
    ("ecc.remap-failed", health(remap_failed=True), "no spare row"),
    ("ecc.remap-failed", health(remap_pending=True), None),
    ("ecc.remap-pending", health(remap_pending=True), "pending"),
    ("ecc.remap-pending", health(remapped_corrected_rows=3), None),
    ("ecc.retired-pages", health(retired_pages=60), "60 retired"),
    ("ecc.retired-pages", health(retired_pages=1, retired_pages_pending=True), "pending"),
    ("ecc.retired-pages", health(retired_pages=59), None),
    ("ecc.recovery-action", health(recovery_action="reset the GPU"), "reset the GPU"),
    ("ecc.recovery-action", health(recovery_action="none"), None),
    ("ecc.disabled", health(ecc_enabled=False), "ECC"),
    ("ecc.disabled", health(ecc_enabled=True), None),
    ("links.pcie-width", gpus(gpu(pcie=PcieReading(5, 8))), "8 of 16"),
    ("links.pcie-width", gpus(gpu(pcie=PcieReading(1, 16))), None),
    ("links.pcie-generation", gpus(gpu(pcie=PcieReading(3, 16))), "generation 3"),
    (
        "links.pcie-generation",
        gpus(gpu(pcie=PcieReading(1, 16), utilization=UtilizationReading(0.0, 0.0))),
        None,
    ),
    ("links.pcie-replays", gpus(gpu(pcie=PcieReading(5, 16, replays=5000))), "5,000"),
    ("links.pcie-replays", gpus(gpu(pcie=PcieReading(5, 16, replays=12))), None),
    ("links.nvlink-down", gpus(gpu(0), gpu(1, nvlink=NvLinkReading(16, 18))), "16 NVLinks"),
    ("links.nvlink-down", gpus(gpu(0), gpu(1, nvlink=NvLinkReading(0, 18))), None),
    (
        "links.nvlink-down",
        gpus(gpu(0), gpu(1, facts=facts(1, name="NVIDIA A100"), nvlink=NvLinkReading(12, 12))),
        None,
    ),
    ("links.nvlink-errors", gpus(gpu(nvlink=NvLinkReading(18, 18, 0, 0, 4, 1))), "1 NVLink"),
    ("links.nvlink-errors", gpus(gpu(nvlink=NvLinkReading(18, 18, 0, 0, 0, 0, 7))), None),
    ("links.iommu", iommu("root=/dev/sda1"), "IOMMU is on"),
    ("links.iommu", iommu("root=/dev/sda1 iommu=pt"), None),
    ("links.iommu", iommu("root=/dev/sda1", linked=True), None),
    ("links.numa", near_cpus(100), "NUMA node 1"),
    ("links.numa", near_cpus(60), None),
    ("gpu.compute-mode", health(compute_mode="prohibited"), "prohibited"),
    ("gpu.compute-mode", health(compute_mode="exclusive process"), "only one process"),
    ("gpu.compute-mode", health(compute_mode="default"), None),
    ("mig.no-instance", mig(), "no MIG device"),
    ("mig.no-instance", mig(instance(1)), None),
    ("mig.one-per-process", mig(instance(1), instance(2)), "2 MIG devices"),
    ("mig.one-per-process", mig(instance(1)), None),
    ("mig.pending", mig(enabled=False, later=True), "on after the next reset"),
    ("mig.pending", mig(), None),
    ("memory.held", held(60 * GIB, 59 * GIB), "more than half"),
    ("memory.held", held(30 * GIB, 29 * GIB), None),
    ("memory.orphans", left_over(Verdict.ORPHAN), "holds 8.0 GiB"),
    ("memory.orphans", left_over(Verdict.SUSPECT), "may be left over"),
    ("memory.orphans", left_over(Verdict.IN_USE), None),
    ("memory.unexplained", held(30 * GIB, 10 * GIB), "20.0 GiB"),
    ("memory.unexplained", held(30 * GIB, 29 * GIB + GIB // 2), None),
    ("memory.unexplained", held(30 * GIB, None), None),
    ("xid.events", event(79), "Xid 79"),
    ("xid.events", event(13), "Graphics Engine Exception"),
    ("xid.events", healthy(), None),
    ("xid.log", log(XID_79, XID_79), "Xid 79, 2 times"),
    ("xid.log", log("NVRM: Xid (PCI:0000:41:00): 99999, odd"), "not in NVIDIA's catalogue"),
    ("xid.log", log("NVRM: GPU 0000:01:00.0: RmInitAdapter succeeded"), None),
    ("driver.gpu-lost", gpus(gpu(state=DeviceState.LOST, error="GPU is lost")), "off the bus"),
    ("driver.gpu-lost", gpus(gpu(state=DeviceState.FAILED)), None),
    ("driver.gpu-failed", gpus(gpu(state=DeviceState.FAILED, error="Unknown Error")), "Unknown"),
    ("driver.gpu-failed", gpus(gpu(state=DeviceState.LOST)), None),
    ("driver.hangs", gpus(gpu(state=DeviceState.STALE)), "does not answer"),
    ("driver.hangs", gpus(gpu()), None),
    ("driver.gpu-missing", gpus(gpu(0)), "lists 1"),
    ("driver.gpu-missing", gpus(gpu(0), gpu(1)), None),
    ("visible.order", other_model(), "may be another GPU"),
    ("visible.order", other_model(1, 0), "is another GPU"),
    ("visible.order", other_model(0, 1), None),
    ("visible.order", replace(other_model(), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}), None),
    ("visible.order", healthy(), None),
    ("visible.hides-all", env(CUDA_VISIBLE_DEVICES=""), "hides all 2"),
    ("visible.hides-all", env(CUDA_VISIBLE_DEVICES="-1"), "hides all 2"),
    ("visible.hides-all", env(CUDA_VISIBLE_DEVICES="1"), None),
    ("visible.truncated", env(CUDA_VISIBLE_DEVICES="0,7,1"), "ignores it, and 1 after it"),
    ("visible.truncated", env(CUDA_VISIBLE_DEVICES="0,-1"), None),
    ("visible.truncated", env(CUDA_VISIBLE_DEVICES="1,0"), None),
    ("visible.duplicate", env(CUDA_VISIBLE_DEVICES="0,0"), "second time"),
    ("visible.duplicate", env(CUDA_VISIBLE_DEVICES="0,1"), None),
    ("visible.foreign-syntax", env(CUDA_VISIBLE_DEVICES="0-1"), "a range"),
    ("visible.foreign-syntax", env(CUDA_VISIBLE_DEVICES="all"), "NVIDIA_VISIBLE_DEVICES"),
    ("visible.foreign-syntax", env(CUDA_VISIBLE_DEVICES="'0,1'"), "quotes"),
    ("visible.foreign-syntax", env(CUDA_VISIBLE_DEVICES=f"{uuid_of(0)},{uuid_of(1)}"), None),
    ("visible.foreign-syntax", env(CUDA_VISIBLE_DEVICES="0,1"), None),
    ("visible.ambiguous", env(CUDA_VISIBLE_DEVICES="GPU-00000000"), "fits 2 GPUs"),
    ("visible.ambiguous", env(CUDA_VISIBLE_DEVICES=uuid_of(0)[:-1]), "fits 2 GPUs"),
    ("visible.ambiguous", env(CUDA_VISIBLE_DEVICES=uuid_of(0)), None),
]
# The readings that each check needs are not told: this must not count as fine.
NO_READINGS = gpus(
    replace(
        gpu(),
        facts=facts(compute_capability=None, nvlink_count=None),
        memory=MemoryReading(),
        utilization=UtilizationReading(),
        power=PowerReading(),
        thermal=ThermalReading(),
        clocks=ClockReading(),
        pcie=PcieReading(),
        nvlink=NvLinkReading(),
        health=HealthReading(),
        mig=MigReading(),
    )
)
READ_FROM_GPU = tuple(
    dict.fromkeys(
        name
        for name, _, _ in CASES
        if name != "memory.orphans"
        and name.startswith(
            ("clocks.", "ecc.", "mig.", "gpu.", "memory.", "links.pcie", "links.nvlink")
        )
    )
)
