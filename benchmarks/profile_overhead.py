"""What profiling costs: a training loop plainly, under `gpudoctor profile`, cProfile, torch's profiler
over the whole run, and as `torch.utils.bottleneck` did it. Ratios of the best of interleaved rounds: what
else the machine does can only make a round slower."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import machine, write

FOLDER = Path(__file__).parent / "workloads"
SCRIPT = str(FOLDER / "train_steps.py")

PLAIN = "python"
CONTENDERS = {
    PLAIN: [sys.executable],
    "gpudoctor profile": [
        *(sys.executable, "-m", "gpudoctor", "profile", "--json", "--python", sys.executable)
    ],
    "gpudoctor profile --no-operators": [
        *(sys.executable, "-m", "gpudoctor", "profile", "--json", "--no-operators"),
        *("--python", sys.executable),
    ],
    "cProfile": [sys.executable, "-m", "cProfile", "-o", os.devnull],
    "torch.profiler, whole run": [sys.executable, str(FOLDER / "whole_run.py")],
    "as torch.utils.bottleneck did": [sys.executable, str(FOLDER / "bottleneck.py")],
}
# The whole-run profilers need minutes and gigabytes for a long run, so they are measured on a short one.
SLOW = ("torch.profiler, whole run", "as torch.utils.bottleneck did")
QUICK = tuple(name for name in CONTENDERS if name not in SLOW)


@dataclass(frozen=True)
class Case:
    """A workload of so many steps for some contenders, in so many rounds."""

    workload: str
    steps: int
    rounds: int
    contenders: tuple[str, ...]


CASES = {
    "many tiny operators, long": Case("small", 2000, 4, QUICK),
    "few big operators, long": Case("conv", 150, 4, QUICK),
    "many tiny operators, short": Case("small", 150, 1, tuple(CONTENDERS)),
    "few big operators, short": Case("conv", 60, 1, tuple(CONTENDERS)),
}


@dataclass(frozen=True)
class Cost:
    """Of the best rounds, in seconds; the ratios are to the plain run. The bottleneck runs its script
    twice, and its step is that of the first, under cProfile."""

    name: str
    rounds: int
    wall_s: float
    wall_ratio: float
    loop_ratio: float
    loop_cpu_ratio: float
    step_ratio: float


def one(command: list[str], case: Case) -> tuple[float, ...]:
    """Seconds: the whole command, the loop, the loop's CPU time, and the median step."""
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, SCRIPT, case.workload, str(case.steps)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wall = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    line = next(line for line in done.stderr.splitlines() if line.startswith("TIMES "))
    times = json.loads(line.removeprefix("TIMES "))
    return wall, times["loop_s"], times["loop_cpu_s"], times["step_median_s"]


def measure(case: Case) -> list[Cost]:
    """All contenders of one case, in interleaved rounds."""
    seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in case.contenders}
    for _ in range(case.rounds):
        for name in case.contenders:
            seen[name].append(one(CONTENDERS[name], case))
    best = {
        name: [min(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()
    }
    plain = best[PLAIN]
    return [
        Cost(
            name,
            len(seen[name]),
            wall,
            wall / plain[0],
            loop / plain[1],
            cpu / plain[2],
            step / plain[3],
        )
        for name, (wall, loop, cpu, step) in best.items()
    ]


def main() -> None:
    """Measure and write results/profile_overhead.json."""
    result: dict[str, object] = {"title": "What profiling a training loop costs", **machine()}
    result["load_average_before"] = os.getloadavg()[0]
    result["cases"] = cases = {}
    for title, case in CASES.items():
        costs = measure(case)
        print(f"\n{title}: {case.steps} steps, {case.rounds} rounds")
        for cost in costs:
            print(
                f"  {cost.name:33} wall {cost.wall_s:7.2f} s {cost.wall_ratio:6.2f}x  loop"
                f" {cost.loop_ratio:5.2f}x CPU {cost.loop_cpu_ratio:5.2f}x step {cost.step_ratio:5.2f}x",
                flush=True,
            )
        cases[title] = {"steps": case.steps, "costs": [asdict(cost) for cost in costs]}
        # After each case: all of them take a quarter of an hour.
        write("profile_overhead", result)


if __name__ == "__main__":
    main()
