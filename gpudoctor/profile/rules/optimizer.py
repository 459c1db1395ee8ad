"""An optimizer that goes through its parameters one by one."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import OptimizerTime, Profile, ProfileFinding
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, loop_seconds
from gpudoctor.units import count, duration, percent, text

LEAST = 0.10
MANY_TENSORS = 10
# The optimizers that have a fused version for CUDA.
FUSED = ("Adam", "AdamW", "SGD")
_DOCS = "https://docs.pytorch.org/docs/stable/optim.html"


@rule("optimizer.for-loop")
def for_loop(profile: Profile) -> Iterator[ProfileFinding]:
    """`step` of an optimizer that is neither fused nor foreach takes at least a tenth of the loop."""
    loop = loop_seconds(profile)
    for optimizer in profile.optimizers:
        if not loop or gpu_is_busy(profile) or not _one_by_one(optimizer):
            continue
        part = optimizer.seconds / loop
        if part < LEAST or optimizer.tensors < MANY_TENSORS:
            continue
        each = optimizer.seconds / max(1, optimizer.steps)
        yield ProfileFinding(
            id="optimizer.for-loop",
            severity=Severity.WARNING,
            summary=f"{optimizer.name} updates {count(optimizer.tensors)} tensors one by one: "
            f"{percent(min(1.0, part))} of the time.",
            gain_seconds=optimizer.seconds,
            source_line=optimizer.source_line or optimizer.step_line,
            evidence=(
                f"{duration(each)} for each step(), called at {_place(optimizer, profile.run.cwd)}",
            ),
            fix=Fix(_advice(optimizer)),
            sources=(_DOCS,),
        )


@rule("optimizer.not-fused")
def not_fused(profile: Profile) -> Iterator[ProfileFinding]:
    """On a GPU, `step` of an optimizer that has a fused version takes a tenth of the loop or more."""
    loop = loop_seconds(profile)
    for optimizer in profile.optimizers:
        unused = optimizer.built_in and optimizer.name in FUSED and not optimizer.fused
        if not loop or gpu_is_busy(profile) or not unused or _one_by_one(optimizer):
            continue
        part = optimizer.seconds / loop
        if optimizer.device != "cuda" or part < LEAST:
            continue
        yield ProfileFinding(
            id="optimizer.not-fused",
            severity=Severity.INFO,
            summary=f"The CPU spends {percent(min(1.0, part))} of the time launching {optimizer.name}'s "
            "kernels.",
            gain_seconds=optimizer.seconds,
            source_line=optimizer.source_line or optimizer.step_line,
            evidence=(f"{duration(optimizer.seconds / max(1, optimizer.steps))} for each step()",),
            fix=Fix(f"Let one kernel do it: {optimizer.name}(…, fused=True)."),
            sources=(_DOCS,),
        )


def _place(optimizer: OptimizerTime, cwd: str) -> str:
    return text(optimizer.step_line).removeprefix(f"{cwd}/")


def _one_by_one(optimizer: OptimizerTime) -> bool:
    if optimizer.fused or optimizer.foreach:
        return False
    # torch chooses foreach by itself, but for tensors on a GPU only.
    return optimizer.foreach is False or optimizer.device == "cpu" or not optimizer.built_in


def _advice(optimizer: OptimizerTime) -> str:
    if optimizer.built_in:
        return (
            f"Let one kernel do it: {optimizer.name}(…, fused=True), or foreach=True where there is "
            "no fused version."
        )
    return "Update all parameters at once with torch._foreach operations, as torch.optim's own do."
