"""Ends processes and watches their memory come back; every front end that ends something does it so."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpudoctor.model.ending import KillReport, Target
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.execute import LADDER, Step, end
from gpudoctor.reclaim.returned import watch_memory

_USUAL_GRACE_S = 10.0


def steps(name: str | None = None, grace_s: float | None = None) -> tuple[Step, ...]:
    """The usual ladder, or the one signal of that name; `grace_s` replaces the usual patience."""
    ladder: tuple[Step, ...] = LADDER
    if name is not None:
        wanted = signal.Signals[f"SIG{name.upper()}"]
        usual = next((one.grace_s for one in LADDER if one.signal is wanted), _USUAL_GRACE_S)
        ladder = (Step(wanted, usual),)
    return ladder if grace_s is None else tuple(replace(step, grace_s=grace_s) for step in ladder)


def carry_out(
    targets: Sequence[Target],
    ladder: Sequence[Step],
    before: Snapshot | None,
    see: Callable[[], Snapshot] | None,
) -> KillReport:
    """Ends `targets`, and watches the memory come back where `see` can look."""
    endings = end(targets, ladder)
    if see is None or before is None:
        return KillReport(False, tuple(targets), endings)
    memory, waited = watch_memory(before, {target.pid for target in targets}, see)
    return KillReport(False, tuple(targets), endings, memory, waited)
