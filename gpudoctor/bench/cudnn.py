"""`bench cudnn`: modes of cuDNN beside each other, each in fresh processes, in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpudoctor.bench.children import Launcher
from gpudoctor.bench.rows import Rounds, added, growing, rows, seconds_left
from gpudoctor.bench.statistics import MOST_ROUNDS
from gpudoctor.bench.verdicts import of_modes
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, BenchResult, Machine
from gpudoctor.units import duration

Progress = Callable[[str], None]
BASELINE = "default"
CUDA_MODES = (
    BASELINE,
    "benchmark",
    "benchmark_limit",
    "deterministic",
    "use_deterministic_algorithms",
    "tf32",
    "no_tf32",
)
CPU_MODES = (BASELINE, "use_deterministic_algorithms")
# Shapes and bits don't need a repetition in every round: these rounds look at them.
_LOOKS = 2
_LEAST_TIME_S = 60.0
# Samples of conv1d where nothing was chosen: enough to time, little enough for a laptop.
_CPU_SIZE = 256
# cuBLAS is reproducible only with a workspace of fixed size, and reads this when it starts.
_DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `batch` and `size` 0 are the network's own; `modes` empty is all that apply.

    `grow`: where the timings of `rounds` rounds scatter, as many more are run as are wanted.
    `models` empty, `steps` 0 and `budget_s` 0 are what suits the device: little where it is the CPU.
    """

    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    device: str | None = None
    batch: int = 0
    size: int = 0
    amp: bool = False
    channels_last: bool = False
    steps: int = 0
    warmup: int = 3
    rounds: int = 5
    grow: bool = False
    budget_s: float = 0.0
    check_steps: int = 3
    shapes: int = 3


@dataclass(slots=True)
class _Network:
    """What the rounds of one network brought, by mode."""

    name: str
    runs: dict[str, Rounds] = field(default_factory=dict)
    done: int = 0
    wanted: dict[str, int] = field(default_factory=dict)


def run(plan: Plan, launch: Launcher, progress: Progress) -> BenchReport:
    """Measure; `progress` is called with a line before each process.

    Raises:
        GpuDoctorError: no torch there, an unknown network or mode, or no such device.
    """
    begun = time.monotonic()
    facts = _facts(plan, launch)
    cudnn = str(facts["device"]).startswith("cuda")
    modes = _modes(plan, cudnn)
    plan = for_device(plan, cudnn)
    progress(_before(plan, facts, modes))
    share = plan.budget_s / len(plan.models)
    networks = []
    for name in plan.models:
        network = _Network(name, {mode: Rounds(mode) for mode in modes})
        comparisons = (len(modes) - 1) * len(plan.models)
        _measure(network, plan, str(facts["device"]), launch, share, progress, comparisons)
        networks.append(network)
    comparisons = (len(modes) - 1) * len(networks)
    results: tuple[BenchResult, ...] = ()
    verdicts = []
    for network in networks:
        found = tuple(rows(network.name, list(network.runs.values()), comparisons, plan.rounds))
        results += found
        verdicts.append(of_modes(network.name, found))
    return BenchReport(
        kind=BenchKind.CUDNN if cudnn else BenchKind.CPU,
        machine=_machine(facts),
        verdicts=tuple(verdicts),
        results=results,
        duration_seconds=time.monotonic() - begun,
        notes=tuple(_notes(plan, facts, cudnn, networks)),
    )


def _facts(plan: Plan, launch: Launcher) -> Mapping[str, Any]:
    ended = launch.run("train", {"facts": True, "device": plan.device}, timeout_s=120)
    facts = ended.result
    if facts is None or "error" in facts:
        raise GpuDoctorError(
            f"torch could not be asked in {launch.python}",
            cause=str(facts["error"]) if facts else ended.tail[-300:] or f"exit code {ended.code}",
            hint="Choose the interpreter that has torch with --python.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    if str(facts["device"]).startswith("cuda") and (not facts["cuda_available"] or facts["hip"]):
        raise GpuDoctorError(
            f"there is no {facts['device']} with cuDNN for this torch",
            cause=f"torch {facts['torch']} sees no CUDA device"
            if not facts["hip"]
            else f"torch {facts['torch']} is built for ROCm, where MIOpen stands in for cuDNN",
            hint="Without --device it runs on what there is. See `gpudoctor check`.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    for name in plan.models:
        if ":" not in name and name not in facts["networks"]:
            raise GpuDoctorError(
                f"there is no network named {name}",
                hint=f"There are: {', '.join(facts['networks'])}; or give module:function.",
            )
    return facts


def _modes(plan: Plan, cudnn: bool) -> tuple[str, ...]:
    known = CUDA_MODES if cudnn else CPU_MODES
    for mode in plan.modes:
        if mode not in CUDA_MODES:
            raise GpuDoctorError(
                f"there is no mode named {mode}", hint=f"There are: {', '.join(CUDA_MODES)}."
            )
    chosen = plan.modes or known
    if plan.modes and not set(plan.modes) & set(known):
        raise GpuDoctorError(
            f"{', '.join(plan.modes)} would change nothing on the CPU",
            hint=f"Without cuDNN there are: {', '.join(known)}.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    return (BASELINE, *(mode for mode in known if mode in chosen and mode != BASELINE))


def _measure(
    network: _Network,
    plan: Plan,
    device: str,
    launch: Launcher,
    share: float,
    progress: Progress,
    comparisons: int,
) -> None:
    begun = time.monotonic()
    for number in range(MOST_ROUNDS if plan.grow else plan.rounds):
        round_begun = time.monotonic()
        modes = _still_wanted(network, plan, number, comparisons)
        if len(modes) < 2 and number:
            return
        for place in range(len(modes)):
            # Each mode stands once at each place of the order, so that none always follows a hot one.
            rounds = network.runs[modes[(place + number) % len(modes)]]
            if rounds.failure is not None:
                continue
            rest = share - (time.monotonic() - begun)
            last = plan.rounds if number < plan.rounds else max(network.wanted.values())
            about = seconds_left([network.runs[mode] for mode in modes], last) if number else 0.0
            said = f", about {duration(max(1.0, min(about, rest)))} left" if about else ""
            progress(f"{network.name}: round {number + 1} of {last}, {rounds.setting}{said}")
            left = max(_LEAST_TIME_S, rest)
            options = _options(plan, network.name, rounds.setting, device, number, launch)
            environ = _DETERMINISTIC if rounds.setting == "use_deterministic_algorithms" else None
            rounds.add(launch.run("train", options, timeout_s=left, environ=environ))
        network.done = number + 1
        now = time.monotonic()
        if now - begun + (now - round_begun) > share:
            return


def _still_wanted(network: _Network, plan: Plan, number: int, comparisons: int) -> list[str]:
    """The modes of round `number`: all, later those whose timings scatter too much."""
    if number < plan.rounds:
        return list(network.runs)
    baseline, *others = network.runs.values()
    if number == plan.rounds and baseline.failure is None:
        times = {one.setting: one.medians for one in others if one.failure is None}
        network.wanted = growing(baseline.medians, times, comparisons)
    later = [mode for mode in network.runs if network.wanted.get(mode, 0) > number]
    return [baseline.setting, *later]


def _options(
    plan: Plan, model: str, mode: str, device: str, number: int, launch: Launcher
) -> dict[str, Any]:
    looks = number < _LOOKS
    return {
        "model": model,
        "mode": mode,
        "device": device,
        "batch": plan.batch,
        "size": plan.size,
        "amp": plan.amp,
        "channels_last": plan.channels_last,
        "steps": plan.steps,
        "warmup": plan.warmup,
        "seed": 1234,
        "shapes": plan.shapes if looks else 0,
        "check_steps": plan.check_steps if looks else 0,
        "values": str(launch.folder / f"{mode}.values"),
        "leave_values": number == 0,
    }


def for_device(plan: Plan, cudnn: bool) -> Plan:
    """The plan with what was left open; on the CPU it is done within a minute or two."""
    return replace(
        plan,
        models=plan.models or (("resnet50",) if cudnn else ("conv1d",)),
        size=plan.size or (0 if cudnn or plan.models else _CPU_SIZE),
        steps=plan.steps or (20 if cudnn else 5),
        budget_s=plan.budget_s or (600.0 if cudnn else 120.0),
    )


def _before(plan: Plan, facts: Mapping[str, Any], modes: tuple[str, ...]) -> str:
    what = f"comparing {' with '.join(modes) if len(modes) == 2 else ', '.join(modes)}"
    many = f"{plan.rounds} rounds{' or more' if plan.grow else ''}"
    extent = f"{', '.join(plan.models)} in {many}, for about {duration(plan.budget_s)} at most"
    if str(facts["device"]).startswith("cuda"):
        return f"{what}: {extent}"
    why = "the CPU was asked for" if facts["cuda_available"] else "cuDNN is not there"
    return f"{why}: {what} on the CPU ({extent})"


def _machine(facts: Mapping[str, Any]) -> Machine:
    names = ("device", "device_name", "python", "torch", "cuda", "cudnn", "driver", "threads")
    return Machine(**{name: facts[name] for name in names})


def _notes(
    plan: Plan, facts: Mapping[str, Any], cudnn: bool, networks: list[_Network]
) -> Iterator[str]:
    if not cudnn:
        yield (
            f"cuDNN is not there (torch {facts['torch']} sees no CUDA device): nothing below was run "
            "on cuDNN. The CPU's default operators are compared with "
            "torch.use_deterministic_algorithms(True) instead."
            if not facts["cuda_available"]
            else "The CPU was asked for: nothing below was run on cuDNN."
        )
    for network in networks:
        for note in added(network.wanted, plan.rounds, network.done):
            yield f"{network.name}: {note}"
        if network.done < plan.rounds:
            yield (
                f"{network.name}: {network.done} of {plan.rounds} rounds were run; another would not "
                "have fitted into its share of the budget (see --budget)."
            )
