"""Pictures of every screen; `pytest tests/tui/test_pictures.py --snapshot-update` takes new ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.readings import (
    ClockReading,
    GpmReading,
    MemoryReading,
    MigInstance,
    MigReading,
    PowerReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.present.glyphs import ASCII, UNICODE
from gpudoctor.reclaim.looking import played_look
from gpudoctor.reclaim.watch import OrphanWatch
from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import AT, GIB, device, process, snapshot
from tests.tui import scenes
from tests.tui.feeds import ScriptedFeed

_SECONDS = 90


def demo(theme="dark", set_=UNICODE):
    """The machine of --demo after a minute and a half, always the same."""
    timeline = DemoTimeline(AT)
    clock = [0.0]
    watch = OrphanWatch(played_look, clock=lambda: clock[0])
    feed = ScriptedFeed(shot(timeline, _SECONDS))
    app = GpuDoctorApp(feed, theme=theme, set_=set_, watch=watch)
    for second in range(_SECONDS):
        clock[0] = float(second)
        app.history.add(shot(timeline, second))
        watch.see(shot(timeline, second))
        if second % 10 == 0:
            watch.latest = watch.look()
    return app


def shot(timeline, second):
    return replace(timeline.at(float(second)), events=timeline.events_until(float(second)))


def odd_machine():
    """One of each: MIG, stale, lost, silent about itself, full."""
    mig = MigReading(True, (MigInstance("MIG-a", 7, 0, "1g.10gb", 10 * GIB, 4 * GIB),))
    bare = device(
        3,
        memory=MemoryReading(),
        power=PowerReading(),
        utilization=UtilizationReading(),
        clocks=ClockReading(),
        gpm=GpmReading(),
    )
    return snapshot(
        device(0, mig=mig, utilization=UtilizationReading()),
        device(1, state=DeviceState.STALE, stale_since=AT - 75, error="no answer"),
        device(2, state=DeviceState.LOST, stale_since=AT - 4000),
        replace(bare, facts=replace(bare.facts, memory_total_bytes=None)),
        device(4, memory=MemoryReading(80 * GIB, 79 * GIB, GIB)),
        processes=(
            process(1, 4, 70 * GIB, command=("python", "训练.py", "--名", "é\x1b[31m")),
            process(
                2,
                1,
                None,
                visible=False,
                user=None,
                started=None,
                name=None,
                command=(),
                cpu_ratio=None,
                host_memory_used_bytes=None,
                state=None,
                parent_pid=None,
            ),
        ),
    )


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_overview(snap_compare, size):
    assert snap_compare(demo(), terminal_size=size)


@pytest.mark.parametrize("theme", ["light", "contrast", "colour-blind", "plain"])
def test_the_overview_in_each_theme(snap_compare, theme):
    assert snap_compare(demo(theme), terminal_size=(100, 36))


@pytest.mark.parametrize(
    "keys",
    [
        (*["down"] * 6, "enter"),
        ("e",),
        ("question_mark",),
        ("f6",),
        ("slash", "a", "n", "a"),
        ("shift+tab", "enter"),
        ("t", "3", *["down"] * 2, "left"),
        ("f2", "down", "space"),
    ],
    ids=["process", "events", "help", "sort", "filter", "device", "tree", "columns"],
)
def test_the_other_screens(snap_compare, keys):
    assert snap_compare(demo(), terminal_size=(100, 36), press=keys)


def test_plain_ascii(snap_compare):
    assert snap_compare(demo(set_=ASCII), terminal_size=(80, 24))


@pytest.fixture
def _no_variables(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


SCENES = {
    "acts": ("down", "k"),
    "explain": (*["down"] * 6, "x"),
    "question": scenes.question,
    "answer": scenes.answer,
    "environment": scenes.environment,
    "visible": ("v", *"5,2,7,x"),
    "parked": scenes.parked,
    "profiles": scenes.profiles,
    "running": scenes.running,
    "benches": scenes.benches,
    "bench-result": scenes.bench_result,
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("size", [(120, 36), (80, 24)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.usefixtures("_no_variables")
def test_acts_findings_and_the_cuda_map(snap_compare, name, size):
    assert snap_compare(demo(), terminal_size=size, **_way(SCENES[name]))


@pytest.mark.parametrize(
    "name", ["answer", "environment", "visible", "profiles", "running", "bench-result"]
)
@pytest.mark.parametrize("look", ["light", "contrast", "ascii"])
@pytest.mark.usefixtures("_no_variables")
def test_they_look_right_in_other_themes_and_in_ascii(snap_compare, name, look):
    app = demo(set_=ASCII) if look == "ascii" else demo(look)
    assert snap_compare(app, terminal_size=(120, 36), **_way(SCENES[name]))


def _way(keys):
    return {"run_before": keys} if callable(keys) else {"press": keys}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_gpus_that_are_stale_lost_or_silent(snap_compare, size):
    assert snap_compare(GpuDoctorApp(ScriptedFeed(odd_machine())), terminal_size=size)
