"""The report that `python -m torch.utils.bottleneck` printed until torch 2.9, from one run of the script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gpudoctor.model.operators import OperatorTime
from gpudoctor.model.profile import FunctionTime, Profile
from gpudoctor.render.profile import facts
from gpudoctor.units import count, duration, printable, text

_TOP = 15
_RULE = "-" * 80


def bottleneck(profile: Profile) -> Iterator[str]:
    """Environment, cProfile and autograd profiler, as lines of text."""
    yield from _headed("Environment Summary")
    for name, value in facts(profile):
        yield f"{name + ':':13} {value}"
    if profile.torch is not None and profile.torch.threads is not None:
        yield f"{'Threads:':13} torch computes with {profile.torch.threads}"
    yield from _headed("cProfile output")
    yield f"   top {_TOP} by internal time"
    yield f"{'ncalls':>12} {'tottime':>9} {'cumtime':>9}  filename:lineno(function)"
    for function in profile.functions[:_TOP]:
        yield _call(function)
    yield from _operators(profile, "CPU", lambda one: one.self_cpu_seconds)
    if profile.window is not None and profile.window.device is not None:
        yield from _operators(profile, "CUDA", lambda one: one.self_device_seconds or 0.0)
    for note in profile.notes:
        yield printable(f"Note: {note}")


def _headed(title: str) -> Iterator[str]:
    yield from (_RULE, f"  {title}", _RULE)


def _call(function: FunctionTime) -> str:
    file, _, line = function.source_line.rpartition(":")
    where = function.name if file == "~" else f"{file}:{line}({function.name})"
    own, total = duration(function.self_seconds), duration(function.total_seconds)
    return f"{count(function.calls):>12} {own:>9} {total:>9}  {printable(where)}"


def _operators(profile: Profile, kind: str, cost: Callable[[OperatorTime], float]) -> Iterator[str]:
    window = profile.window
    yield from _headed(f"autograd profiler output ({kind} mode)")
    if window is None:
        yield "   no operators were recorded"
        return
    yield f"   top {_TOP} operators by their own {kind} time, in {window.steps} steps"
    ranked: Sequence[OperatorTime] = sorted(window.operators, key=cost, reverse=True)
    whole = sum(cost(one) for one in ranked)
    wide = max((len(one.name) for one in ranked[:_TOP]), default=4)
    yield f"{'Name':{wide}} {'Self ' + kind:>10} {'%':>6} {'# of Calls':>11} {kind + '/call':>10}"
    for one in ranked[:_TOP]:
        spent = cost(one)
        part = f"{100 * spent / whole:.1f}" if whole else text(None)
        each = duration(spent / one.calls)
        yield f"{printable(one.name):{wide}} {duration(spent):>10} {part:>6} {one.calls:>11,} {each:>10}"
