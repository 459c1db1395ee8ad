"""A GPU that gives every reading there is, and a machine on which every kind of trouble shows."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.check import CheckOutcome, CheckReport, Outcome
from gpudoctor.model.environment import InstalledTorch
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.orphan import Orphan, Reason, Verdict, Weight
from gpudoctor.model.process import GpuUse, ProcessKey
from gpudoctor.model.readings import (
    GpmReading,
    HealthReading,
    MemoryReading,
    MigInstance,
    MigReading,
    NvLink,
    NvLinkReading,
    PcieReading,
    ThrottleReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import Device, DeviceState, GpuEvent, Snapshot
from gpudoctor.render.metrics.view import Inspection
from tests.builders import AT, GIB, device, process, snapshot, uuid_of


def rich_device() -> Device:
    return replace(
        device(),
        gpm=GpmReading(0.8, 0.4, 0.3, 0.5, 0.0, 0.1, 0.0, 0.05, 0.9),
        pcie=PcieReading(5, 16, 1e9, 4e9, 2),
        nvlink=NvLinkReading(
            18,
            18,
            10**12,
            10**12,
            0,
            0,
            1,
            (NvLink(0, True, 6 * 10**10, 5 * 10**10), NvLink(1, False)),
        ),
        health=HealthReading(
            True, 1, 0, 3, 0, 2, 1, False, True, 4, False, "gpu reset", True, "default", "completed"
        ),
        mig=MigReading(True, (MigInstance("MIG-1", 1, 0, "1g.10gb", 10 * GIB, GIB, 1),)),
        memory=MemoryReading(80 * GIB, 20 * GIB, 59 * GIB, GIB, GIB, 128 * GIB),
        utilization=UtilizationReading(0.5, 0.25, 0.0, 0.0),
        thermal=replace(device().thermal, fan_ratio=0.3),
        clocks=replace(device().clocks, performance_state=0, reasons=("sw_power_cap",)),
        facts=replace(
            device().facts,
            power_limit_default_watts=700.0,
            power_limit_max_watts=700.0,
            temperature_slowdown_celsius=87,
            temperature_shutdown_celsius=92,
            sm_clock_max_hertz=1.98e9,
            memory_clock_max_hertz=2.6e9,
            pcie_generation_max=5,
            pcie_width_max=16,
            temperature_memory_max_celsius=95,
        ),
        throttle=ThrottleReading(12.5, 0.0, 0.0, 3.25, 0.0),
    )


def rich_inspection() -> Inspection:
    """An orphan, a finding, a check that could not be run."""
    orphan = Orphan(
        pid=100,
        key=ProcessKey(100, AT - 60),
        verdict=Verdict.ORPHAN,
        reasons=(Reason("launcher-gone", Weight.HIGH, "its launcher is gone", "parent 1"),),
        offers=(),
        memory_used_bytes=10 * GIB,
        gpus=(0,),
        user="ana",
    )
    finding = Finding("ecc.recovery-action", Severity.ERROR, "GPU 0", "reset it")
    outcomes = (
        CheckOutcome("ecc.recovery-action", Outcome.FOUND, 0.001, 1),
        CheckOutcome("xid.log", Outcome.NOT_APPLICABLE, 0.001),
    )
    return Inspection(
        AT - 10,
        0.02,
        (orphan,),
        CheckReport((finding,), outcomes, 0.01),
        InstalledTorch("3.11.7", "2.9.0+cu130", "13.0", None, "9.13.0.50"),
    )


def rich_snapshot() -> Snapshot:
    """GPU 0 gives all and wants a reset, GPU 1 is lost, a user holds memory."""
    use = GpuUse(0, uuid_of(0), "compute", GIB, sm_ratio=0.5)
    return snapshot(
        rich_device(),
        device(1, state=DeviceState.LOST),
        processes=(process(gpus=(use,)),),
        events=(GpuEvent(AT, uuid_of(1), "xid", 79),),
    )
