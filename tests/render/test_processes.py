"""The table of ps as text."""

from __future__ import annotations

import io

from rich.console import Console

from gpudoctor.model.listing import Listing, Origin, listed
from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import MemoryReading
from gpudoctor.model.selection import unlisted
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.render.processes import command_of, table
from tests.builders import GIB, device, process, snapshot, uuid_of


def listing(seen, origin: Origin = Origin(), **changes) -> Listing:
    return Listing(
        driver=seen.driver,
        devices=(),
        processes=tuple(listed(row, origin, None) for row in seen.processes),
        unlisted=changes.pop("gaps", unlisted(seen)),
        **changes,
    )


def drawn(seen, width: int = 160) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False)
    console.print(*table(seen, listing(seen), width=width), sep="\n")
    return out.getvalue()


def test_a_row_says_who_holds_what():
    text = drawn(snapshot(processes=(process(4711, 0, 10 * GIB, user="ana"),)))
    row = next(line for line in text.splitlines() if "4711" in line)
    assert row.split()[:4] == ["0", "4711", "ana", "compute"]
    assert "10.0 GiB" in row
    assert "python train.py" in row


def test_a_gpu_without_processes_says_so():
    quiet = MemoryReading(80 * GIB, 0, 80 * GIB)
    assert "No process is on a GPU." in drawn(snapshot(device(0, memory=quiet)))


def test_a_pid_of_another_namespace_is_shown_and_named_as_such():
    row = process(99, visible=False, name=None, command=(), user=None)
    assert "not visible from here" in command_of(row)
    assert "99" in drawn(snapshot(processes=(row,)))


def test_memory_that_nobody_holds_is_a_row_of_its_own():
    assert "no listed process holds it" in drawn(snapshot(processes=(process(1, 0, GIB),)))


def test_a_lost_gpu_says_what_the_driver_said():
    lost = device(0, state=DeviceState.LOST, error="nvmlDeviceGetMemoryInfo: GPU is lost")
    assert "lost: nvmlDeviceGetMemoryInfo: GPU is lost" in drawn(snapshot(lost))


def test_a_hostile_command_line_cannot_drive_the_terminal():
    text = drawn(snapshot(processes=(process(1, command=("python", "\x1b[2Jx\x07"), user="a\nb"),)))
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_markup_in_a_command_is_not_interpreted():
    assert "[red]" in drawn(snapshot(processes=(process(1, command=("python", "[red]x[/]")),)))


def test_a_process_in_a_mig_instance_names_it():
    use = GpuUse(2, uuid_of(2), "compute", GIB, gpu_instance=5, compute_instance=0)
    assert "2:5" in drawn(snapshot(processes=(process(1, gpus=(use,)),)))


def test_what_is_not_known_is_a_dash_and_never_a_zero():
    row = process(77, 0, None, cpu_ratio=None, host_memory_used_bytes=None, started=None)
    line = next(line for line in drawn(snapshot(processes=(row,))).splitlines() if "77" in line)
    assert line.split()[4:9] == ["–", "–", "–", "–", "–"]


def test_a_stopped_process_says_so():
    assert command_of(process(1, state="stopped")).startswith("(stopped) ")
