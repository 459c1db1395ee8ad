"""Screens with what they would show on a certain machine, for pictures: nothing of this machine is asked."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot

from gpudoctor.model.ending import Ending, KillReport, MemoryReturn, Outcome, Target
from gpudoctor.model.environment import DriverReport, GpuRow
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.ending import plan_lines, report_lines
from gpudoctor.present.words import line
from gpudoctor.tui.deeds import Done
from gpudoctor.tui.examine import Examined, conclude
from gpudoctor.tui.screens.deed import DeedScreen
from gpudoctor.tui.screens.environment import EnvironmentScreen
from tests.builders import GIB
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
