from __future__ import annotations

from rich.console import Console

from gpudoctor.model.profile import AllocationSite, MemoryHistory
from gpudoctor.render.memory_history import in_words, memory_tables
from gpudoctor.render.profile_html import html
from tests.profile.build import profile

MIB = 2**20
SITE = AllocationSite("/home/me/main.py:7", "forward<b>", 3, 4 * MIB)
BEFORE = AllocationSite(None, None, 2, MIB)
HISTORY = MemoryHistory(
    device=1,
    reserved_bytes=10 * MIB,
    allocated_bytes=4 * MIB,
    active_bytes=5 * MIB,
    inactive_split_bytes=3 * MIB,
    largest_free_bytes=2 * MIB,
    segments=2,
    events=40,
    cut=False,
    failed=0,
    peak_bytes=5 * MIB,
    live=(BEFORE,),
    peak=(SITE, BEFORE),
)


def test_a_device_in_words():
    assert in_words(HISTORY) == (
        "10.0 MiB reserved in 2 segments, 4.0 MiB allocated, 5.0 MiB active, 3.0 MiB (30% of reserved) free "
        "but split, largest free piece 2.0 MiB"
    )


def test_the_table_names_lines_by_their_place_in_the_run():
    console = Console(width=110, color_system=None)
    with console.capture() as seen:
        console.print(*memory_tables(profile(memory_history=(HISTORY,))), sep="\n")
    lines = [" ".join(line.split()) for line in seen.get().splitlines()]
    assert "Memory of cuda:1 in the profiled window" in lines
    assert "main.py:7 forward<b> 3 4.0 MiB" in lines
    assert "allocated before the window 2 1.0 MiB" in lines
    assert list(memory_tables(profile())) == []


def test_the_html_report_has_it_too_and_runs_no_name():
    page = html(profile(memory_history=(HISTORY,)), None)
    assert "Memory of cuda:1" in page
    assert "main.py:7 forward&lt;b&gt;" in page
    assert "Memory of cuda" not in html(profile(), None)
