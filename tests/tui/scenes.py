"""Screens with what they would show on a certain machine, for pictures: nothing of this machine is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from gpudoctor.model.bench import (
    BenchKind,
    BenchReport,
    BenchResult,
    Edit,
    Machine,
    Ratio,
    Status,
    Timing,
    Trajectory,
)
from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.ending import Ending, KillReport, MemoryReturn, Outcome, Target
from gpudoctor.model.environment import DriverReport, GpuRow
from gpudoctor.model.parking import ParkOutcome, ParkResult
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Level
from gpudoctor.present.ending import plan_lines, report_lines
from gpudoctor.present.parked import done_lines
from gpudoctor.present.parked import plan_lines as parking_lines
from gpudoctor.present.words import line
from gpudoctor.tui.deeds import Done
from gpudoctor.tui.errands import Errand
from gpudoctor.tui.examine import Examined, conclude
from gpudoctor.tui.screens.benches import BenchResultScreen, BenchScreen
from gpudoctor.tui.screens.deed import DeedScreen
from gpudoctor.tui.screens.environment import EnvironmentScreen
from gpudoctor.tui.screens.profiles import ProfileScreen
from gpudoctor.tui.screens.run import RunScreen
from gpudoctor.tui.sessions import Kept
from tests.builders import AT, GIB
from tests.checks import world
from tests.tui.screen import text, until


def examined(snapshot: Snapshot, _say: object) -> Examined:
    """The GPUs of `snapshot` under a torch that was built without CUDA."""
    build = world.torch(version="2.13.0+cpu", kind="cpu", cuda_version=None)
    probe = world.probe(torch=build, cuda=world.TorchCuda(available=False, device_count=0))
    found = conclude(world.healthy(snapshot=snapshot, probe=probe), snapshot)
    assert found.environment is not None
    driver = DriverReport(
        nvml_driver_version=snapshot.driver.version,
        cuda_version=snapshot.driver.cuda_version,
        module_version=snapshot.driver.version,
        source=snapshot.source,
        gpus=tuple(GpuRow(device.facts, device.mig) for device in snapshot.devices),
    )
    return Examined(
        replace(found.report, duration_seconds=3.1), replace(found.environment, driver=driver)
    )


async def environment(pilot: Pilot) -> None:
    """The findings and the facts of that machine."""
    await shown(pilot, "COMMAND")
    pilot.app.push_screen(EnvironmentScreen(examined))
    await shown(pilot, "checks ran")


class Ended:
    """As the deed `End`, of a process that nobody has."""

    title = "End"

    def __init__(self, row: GpuProcess) -> None:
        self._target = Target(
            row.pid,
            1,
            row.name or "",
            row.command,
            row.user,
            memory_used_bytes=row.memory_used_bytes,
        )
        use = row.gpus[0]
        self._memory = MemoryReturn(use.index, use.uuid, 62 * GIB, 4 * GIB, 58 * GIB)

    def prepare(self):
        by = "By SIGINT (given 5 s), then SIGTERM (given 10 s), then SIGKILL (given 10 s)."
        return (line("To be ended:"), *plan_lines((self._target,)), line(""), line(by))

    def do(self):
        ending = Ending(self._target.pid, Outcome.ENDED, ("SIGINT", "SIGTERM"), 5.21)
        report = KillReport(False, (self._target,), (ending,), (self._memory,), 1.4)
        return Done(tuple(report_lines(report)))


async def question(pilot: Pilot) -> None:
    """The dialog before a process is ended."""
    await shown(pilot, "COMMAND")
    rows = pilot.app.snapshot.processes
    left_over = next(row for row in rows if row.pid in pilot.app.verdicts)
    pilot.app.push_screen(DeedScreen(Ended(left_over)))
    await shown(pilot, "do it")


async def answer(pilot: Pilot) -> None:
    """The dialog after it."""
    await question(pilot)
    await pilot.press("y")
    await shown(pilot, "came back")


async def shown(pilot: Pilot, words: str) -> None:
    await until(pilot, lambda: words in text(pilot.app))
    await pilot.pause()


def _kept(name: str, days: int, seconds: float, verdict: str, level: Level) -> Kept:
    at = AT - days * 86400.0
    return Kept(
        Path(f"/state/profiles/{seconds}"), ("train.py", *name.split()), at, seconds, verdict, level
    )


KEPT = (
    _kept("--workers 8 --fused", 0, 41.2, "nothing to complain about", Level.GOOD),
    _kept("--workers 8", 1, 46.9, "the optimizer takes 12 % of the step", Level.NOTICE),
    _kept("", 1, 93.5, "the GPU waits for data 54 % of the time (+2 more)", Level.WARN),
    _kept("--batch 512", 3, 12.1, "failed: torch.OutOfMemoryError: CUDA out of memory.", Level.BAD),
)  # fmt: skip


class _Profiles(ProfileScreen):
    def look(self):
        return KEPT

    def about(self):
        return (
            "In the list Space tags, d compares two, D deletes.\n"
            "Kept in ~/.local/state/gpudoctor/profiles"
        )


async def profiles(pilot: Pilot) -> None:
    """The form with earlier profiles, two of them tagged."""
    await shown(pilot, "COMMAND")
    pilot.app.push_screen(_Profiles())
    await shown(pilot, "waits for data")
    pilot.app.screen.query_one("#script").value = "train.py"
    pilot.app.screen.query_one("#arguments").value = "--workers 8"
    await pilot.press("tab", "tab", "tab", "tab", "home", "down", "space", "space")
    await shown(pilot, "*")


class _Running(Errand):
    """As a profile that has run for a while, of a script that nobody has."""

    seconds = 37.0
    over = False

    def __init__(self):
        super().__init__(())
        for step in range(0, 2600, 20):
            loss = 6.9 * 0.9995**step
            self.talk.feed(f"epoch 1  step {step:>5}  loss {loss:.4f}\n".encode())


async def running(pilot: Pilot) -> None:
    """A profile while it runs."""
    await shown(pilot, "COMMAND")
    far = "2580 steps, torch's profiler has looked"
    screen = RunScreen("profile train.py", _Running(), lambda: far, lambda errand: None)
    pilot.app.push_screen(screen)
    await shown(pilot, far)


def _result(setting: str, speed: float, ratio: Ratio | None, **more: object) -> BenchResult:
    step = 1 / speed
    timing = Timing(step, step * 0.98, step * 1.03, 250, 5)
    made = BenchResult("train.py", setting, ratio is None, Status.MEASURED, step=timing)
    peak = 18 * GIB + int(len(setting) * GIB / 9)
    return replace(
        made,
        steps_per_second=speed,
        speedup=ratio,
        warmup_seconds=2.1 + len(setting) / 7,
        peak_memory_bytes=peak,
        **more,
    )


PATCH = """--- train.py
+++ train.py
@@ -31,1 +31,1 @@
-loader = DataLoader(data, batch_size=64, num_workers=0)
+loader = DataLoader(data, batch_size=64, num_workers=8)"""
BENCHED = BenchReport(
    BenchKind.WHAT_IF,
    Machine("cuda:0", "NVIDIA H100 80GB HBM3", "3.12.1", "2.9.1", "13.0", "9.1.4", "580.95.05"),
    ("train.py: num-workers=8 is 1.82 times as fast.",),
    (
        _result("unchanged", 5.31, None),
        _result(
            "num-workers=8",
            9.66,
            Ratio(1.82, 1.76, 1.88, 5, 0.95),
            trajectory=Trajectory.EQUAL,
            edit=Edit("load with 8 workers", "train.py:31", PATCH),
        ),
        _result("fused-optimizer", 5.62, Ratio(1.06, 1.03, 1.09, 5, 0.95), trajectory=Trajectory.CLOSE),
        _result("cudnn-benchmark", 5.33, Ratio(1.0, 0.98, 1.03, 5, 0.95), trajectory=Trajectory.CLOSE),
        _result("deterministic", 4.41, Ratio(0.83, 0.81, 0.85, 5, 0.95), trajectory=Trajectory.CLOSE),
        BenchResult("train.py", "channels-last", False, Status.NOT_APPLICABLE, "it has no convolution"),
    ),
    188.0,
)  # fmt: skip


async def bench_result(pilot: Pilot) -> None:
    """What a script's bench found, with one setting in full."""
    await shown(pilot, "COMMAND")
    pilot.app.push_screen(BenchResultScreen(Path("/state/benches/1"), BENCHED))
    await shown(pilot, "unchanged")
    await pilot.press("down")
    await shown(pilot, "To change")


class _Benches(BenchScreen):
    def look(self):
        return tuple(replace(one, verdict=verdict, level=level) for one, verdict, level in _BENCHED)

    def about(self):
        return "Kept in ~/.local/state/gpudoctor/benches"


_BENCHED = (
    (replace(KEPT[0], program=("train.py",)), BENCHED.verdicts[0], Level.GOOD),
    (
        replace(KEPT[2], program=("cudnn", "resnet50,unet"), seconds=412.0),
        "resnet50: benchmark mode is 1.11 times as fast. (+1 more)",
        Level.GOOD,
    ),
)


async def benches(pilot: Pilot) -> None:
    """The form with earlier benchmarks."""
    await shown(pilot, "COMMAND")
    pilot.app.push_screen(_Benches())
    await shown(pilot, "benchmark mode")


async def parked(pilot: Pilot) -> None:
    """The question before a process is parked, with what is to be known."""
    await shown(pilot, "COMMAND")
    row = max(pilot.app.snapshot.processes, key=lambda one: one.memory_used_bytes or 0)
    pilot.app.push_screen(DeedScreen(_Parks(row)))
    await shown(pilot, "do it")


class _Parks:
    """As the deed `Park`, of a process that nobody has."""

    title = "Park"

    def __init__(self, row: GpuProcess) -> None:
        conditions = (
            Condition("driver", Standing.OK, "driver 580.95.05 can do it"),
            Condition("memory", Standing.OK, "the host has 412.0 GiB free for its 62.0 GiB"),
            Condition(
                "persistence",
                Standing.WARN,
                "persistence mode is off on GPU 3",
                "nvidia-smi -pm 1 keeps the driver loaded meanwhile.",
            ),
        )
        self._result = ParkResult(
            row.pid,
            row.name or "",
            ParkOutcome.PLANNED,
            row.command,
            row.user,
            row.memory_used_bytes,
            conditions,
        )

    def prepare(self):
        return (
            line("All of their GPU memory will be moved to the host's memory:"),
            *parking_lines(self._result),
            line(""),
            line("They stand still at their next CUDA call until they are unparked.", Level.DIM),
        )

    def do(self):
        done = replace(self._result, outcome=ParkOutcome.PARKED, seconds=6.2)
        return Done(tuple(done_lines(done, "park")))
