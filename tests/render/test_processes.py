"""The table of ps as text."""

from __future__ import annotations

import io

from msgspec.structs import replace
from rich.console import Console

from gpudoctor.model.listing import Above, Launcher, Listing, Origin, listed
from gpudoctor.model.parked import Parked, Share
from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import MemoryReading
from gpudoctor.model.selection import Holder, Unlisted, unlisted
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.render.processes import command_of, table
from tests.builders import AT, GIB, device, process, snapshot, uuid_of

UNKNOWN_ORIGIN = Origin()


def listing(seen, origin=UNKNOWN_ORIGIN, **changes) -> Listing:
    return Listing(
        driver=seen.driver,
        devices=(),
        processes=tuple(listed(row, origin, None) for row in seen.processes),
        unlisted=changes.pop("gaps", unlisted(seen)),
        **changes,
    )


def drawn(seen, width: int = 160, as_tree: bool = False, **changes) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False)
    console.print(*table(seen, listing(seen, **changes), width=width, as_tree=as_tree), sep="\n")
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


def test_the_launcher_and_the_pid_in_the_container_have_columns_only_where_there_are_any():
    seen = snapshot(processes=(process(4711),))
    assert "LAUNCHER" not in drawn(seen)
    assert "IN PID" not in drawn(seen)
    origin = Origin((Launcher("torchrun", "rank 3/8"), Launcher("slurm", "42")), 17)
    text = drawn(seen, 200, origin=origin)
    assert "torchrun rank 3/8 in slurm 42" in text
    line = next(line for line in text.splitlines() if "4711" in line)
    assert line.split()[:3] == ["0", "4711", "17"]


def test_a_state_out_of_the_ordinary_is_told_once():
    for width in (100, 200):
        text = drawn(snapshot(processes=(process(1, state="stopped"),)), width)
        assert text.count("stopped") == 1


def test_a_parked_process_has_a_row_with_what_it_holds_of_the_host():
    record = Parked(
        pid=4711,
        start_ticks=1,
        boot_id="b",
        name="python",
        command=("python", "big.py"),
        user="ana",
        gpus=(Share(3, uuid_of(3), 40 * GIB),),
        memory_used_bytes=40 * GIB,
        parked_at=AT - 3600,
        confirmed=True,
    )
    quiet = snapshot(device(0, memory=MemoryReading(80 * GIB, 0, 80 * GIB)))
    line = next(row for row in drawn(quiet, parked=(record,)).splitlines() if "4711" in row)
    assert line.split()[:4] == ["3", "4711", "ana", "parked"]
    assert "(parked for 1h00m, 40.0 GiB in host memory) python big.py" in line


def test_likely_holders_stand_below_the_memory_that_they_may_hold():
    holders = tuple(Holder(pid, "python", ("python", "left.py"), "ana") for pid in range(100, 112))
    gap = Unlisted(0, uuid_of(0), 20 * GIB, holders, all_seen=True)
    text = drawn(snapshot(), gaps=(gap,))
    assert "no listed process holds it; likely:" in text
    assert text.count("has GPU 0 open: python left.py") == 8
    assert "and 4 more" in text


def test_without_rights_it_says_who_could_see_more():
    assert "by root alone" in drawn(snapshot(), gaps=(Unlisted(0, uuid_of(0), GIB, ()),))
    seen = Unlisted(0, uuid_of(0), GIB, (), all_seen=True)
    assert "no other process that we can see" in drawn(snapshot(), gaps=(seen,))


def test_in_a_tree_processes_stand_below_their_launcher():
    above = (Above(50, "torchrun", ("torchrun",)), Above(40, "bash", ("bash",)))
    seen = snapshot(processes=(process(101), process(102)))
    made = listing(seen)
    rows = tuple(replace(row, above=above) for row in made.processes)
    out = io.StringIO()
    console = Console(file=out, width=160, markup=False, highlight=False)
    console.print(*table(seen, replace(made, processes=rows), width=160, as_tree=True), sep="\n")
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert [line.endswith("bash 40 › torchrun 50") for line in lines].count(True) == 1
    assert [line.endswith("   python train.py") for line in lines].count(True) == 2


def test_a_long_command_is_cut_and_never_narrows_the_other_columns():
    long = ("python", "train.py", *(f"--option-{number}=value" for number in range(40)))
    origin = Origin((Launcher("systemd", "a-very-long-name-of-a-unit-that-goes-on@17.service"),))
    seen = snapshot(processes=(process(123_456, 0, 10 * GIB, command=long),))
    for width in (60, 80, 100, 120, 150, 200):
        lines = drawn(seen, width, origin=origin).splitlines()
        row = next(line for line in lines if "123456" in line)
        assert "10.0 GiB" in row
        assert "ana" in row
        assert max(len(line) for line in lines) <= width
        if width >= 120:
            assert row.rstrip().endswith("…")
            assert "systemd a-very-long" in row
