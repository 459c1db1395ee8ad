"""Clocks, power and heat: why a GPU is slower than it could be."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import gpu, info, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.units import celsius, hertz, watts

_XID_GUIDE = "https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html"
# The reasons that speak of a fault or of heat; a software power cap is normal under load.
_HARDWARE = {
    "hw_slowdown": "the hardware slows the GPU down (heat, power brake or a fault)",
    "hw_thermal_slowdown": "the hardware slows the GPU down because it is too hot",
    "hw_power_brake_slowdown": "an external power brake slows the GPU down",
}
_THERMAL = {"sw_thermal_slowdown": "the driver slows the GPU down because it is too hot"}
_NEAR_SHUTDOWN_CELSIUS = 5
# Below this share of the default the cap is somebody's decision and not rounding.
_LIMIT_SHARE = 0.98


def _key(reason: str) -> str:
    return reason.lower().replace(" ", "_").replace("-", "_")


@check(
    "clocks.hardware-slowdown",
    title="The hardware slows a GPU down",
    needs=("gpus",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_XID_GUIDE,),
    after=("clocks.near-shutdown",),
)
def hardware_slowdown(ctx: CheckContext) -> Iterator[Finding]:
    """The GPU's own protection lowers the clocks: heat, the power brake signal, or a power fault.
    A job on it runs at a fraction of its speed, and in a group all other GPUs wait for it."""
    for device, reasons in ctx.reporting(lambda d: d.clocks.reasons):
        told = [_HARDWARE[_key(reason)] for reason in reasons if _key(reason) in _HARDWARE]
        if told:
            yield warning(
                gpu(device),
                f"{told[-1]}: {hertz(device.clocks.sm_hertz)} of {hertz(device.facts.sm_clock_max_hertz)}",
                f"clock event reasons: {', '.join(reasons)}",
                f"{celsius(device.thermal.gpu_celsius)}, {watts(device.power.usage_watts)} of "
                f"{watts(device.power.limit_watts)}",
                fix="Look at fans, air flow and dust; then at power cables and power supply. "
                "It is the hardware's signal, so no software setting ends it.",
                run=[f"nvidia-smi -i {device.index} -q -d PERFORMANCE,TEMPERATURE,POWER"],
            )


@check(
    "clocks.thermal-slowdown",
    title="The driver slows a hot GPU down",
    needs=("gpus",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_XID_GUIDE,),
    after=("clocks.hardware-slowdown",),
)
def thermal_slowdown(ctx: CheckContext) -> Iterator[Finding]:
    """The driver holds the temperature by lowering the clocks. Under full load in a warm room this
    may pass; where it stays, cooling is too weak for the load."""
    for device, reasons in ctx.reporting(lambda d: d.clocks.reasons):
        told = [_THERMAL[_key(reason)] for reason in reasons if _key(reason) in _THERMAL]
        if told:
            yield warning(
                gpu(device),
                f"{told[0]}: {celsius(device.thermal.gpu_celsius)}",
                f"clock event reasons: {', '.join(reasons)}",
                f"slowdown begins at {celsius(device.facts.temperature_slowdown_celsius)}",
                fix="Improve the cooling, or lower the power limit so that the clocks stay even.",
                run=[f"nvidia-smi -i {device.index} -q -d TEMPERATURE"],
            )


@check(
    "clocks.near-shutdown",
    title="A GPU is close to its shutdown temperature",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html",),
)
def near_shutdown(ctx: CheckContext) -> Iterator[Finding]:
    """At its shutdown temperature the GPU switches itself off and every job on it is lost."""
    told = ctx.reporting_both(
        lambda d: d.thermal.gpu_celsius, lambda d: d.facts.temperature_shutdown_celsius
    )
    for device, (now, limit) in told:
        if now >= limit - _NEAR_SHUTDOWN_CELSIUS:
            yield warning(
                gpu(device),
                f"{celsius(now)}, and it switches itself off at {celsius(limit)}",
                fix="Stop the load on this GPU and find out why it is not cooled.",
                run=[f"nvidia-smi -i {device.index} -q -d TEMPERATURE"],
            )


@check(
    "clocks.power-limit",
    title="A power limit below the default",
    needs=("gpus",),
    tier="D",
    severity=Severity.INFO,
    sources=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html",),
)
def power_limit(ctx: CheckContext) -> Iterator[Finding]:
    """Somebody lowered the power limit. That may be wanted (heat, power budget), and it costs speed."""
    told = ctx.reporting_both(
        lambda d: d.power.limit_watts, lambda d: d.facts.power_limit_default_watts
    )
    for device, (limit, default) in told:
        if limit < default * _LIMIT_SHARE:
            yield info(
                gpu(device),
                f"limited to {watts(limit)}; the default is {watts(default)}",
                fix="If nobody meant this, set the default again (needs root).",
                run=[f"sudo nvidia-smi -i {device.index} -pl {default:.0f}"],
            )


@check(
    "clocks.persistence",
    title="Persistence mode is off",
    needs=("gpus",),
    tier="D",
    severity=Severity.INFO,
    sources=("https://docs.nvidia.com/deploy/driver-persistence/index.html",),
)
def persistence(ctx: CheckContext) -> Iterator[Finding]:
    """Without persistence mode the driver shuts a GPU down when its last client leaves, and the next
    one waits for the start of the GPU."""
    off = [d for d, on in ctx.reporting(lambda d: d.health.persistence_mode) if not on]
    if off:
        yield info(
            "all GPUs" if len(off) > 1 else gpu(off[0]),
            "persistence mode is off: the first CUDA call after a pause waits for the GPU to start",
            f"off on GPU {', '.join(str(d.index) for d in off)}",
            fix="Run nvidia-persistenced, or switch persistence mode on until the next reboot.",
            run=["sudo nvidia-smi -pm 1"],
        )
