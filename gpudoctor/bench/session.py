"""What is to be run of a script, and its runs one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpudoctor.bench import folders
from gpudoctor.bench.children import Ended, Launcher
from gpudoctor.bench.settings import Setting, Wanted
from gpudoctor.model.bench import BenchResult

Progress = Callable[[str], None]
# A window of a few milliseconds measures the scheduler of the operating system.
STEPS, LEAST_S = 50, 1.0
_LEAST_TIME_S = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `kind` is "script" or "module"; a run measures at least `steps` and `least_s`.

    `grow`: where the timings of `rounds` rounds scatter, as many more are run as are wanted.
    """

    kind: str
    target: str
    arguments: tuple[str, ...]
    wanted: Wanted
    steps: int = STEPS
    least_s: float = LEAST_S
    warmup: int = 5
    rounds: int = 5
    grow: bool = False
    budget_s: float = 300.0
    copy_from: Path | None = None
    cpus: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))

    @property
    def subject(self) -> str:
        """What the rows are about."""
        return self.target if self.kind == "script" else f"-m {self.target}"


@dataclass(slots=True)
class Session:
    """The runs so far. `until` is when the budget ends, on the monotonic clock.

    `done` rounds were run in full; `wanted` are the settings that get more rounds than planned, and how
    many in all; `short` is whether the budget left no time for more.
    """

    plan: Plan
    launch: Launcher
    progress: Progress
    until: float
    rows: list[BenchResult] = field(default_factory=list)
    done: int = 0
    wanted: dict[str, int] = field(default_factory=dict)
    short: bool = False

    def run(self, setting: Setting, why: str, most_s: float | None = None) -> Ended:
        """One run of the script with one setting, for `most_s` or what is left of the budget."""
        self.progress(f"{self.plan.subject}: {setting.name} ({why})")
        launch = self.launch
        if self.plan.copy_from is not None:
            copied = folders.copy(self.plan.copy_from, launch.folder / "cwd")
            launch = replace(launch, cwd=str(copied))
        options = {
            "setting": dict(setting.changes),
            "steps": self.plan.steps,
            "least_seconds": self.plan.least_s,
            "warmup": self.plan.warmup,
        }
        return launch.run(
            "whatif",
            options,
            (self.plan.kind, self.plan.target, *self.plan.arguments),
            timeout_s=max(_LEAST_TIME_S, self.left if most_s is None else min(most_s, self.left)),
            environ=setting.environ,
        )

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.until - time.monotonic()
