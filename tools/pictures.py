"""Takes the pictures of docs/images from the program itself, on the machine of --demo at a fixed moment.

What a dialog or a check would ask of this machine comes from tests/tui/scenes.py instead.

python -m tools.pictures
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from gpudoctor.model.snapshot import Snapshot
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.reclaim.looking import played_look
from gpudoctor.reclaim.watch import OrphanWatch
from gpudoctor.tui.app import GpuDoctorApp
from tests.tui import scenes

IMAGES = Path(__file__).parent.parent / "docs" / "images"
OPENED_AT = 1_790_000_000.0
SECONDS = 90
Way = tuple[str, ...] | Callable[[Pilot[None]], Awaitable[None]]
PICTURES: dict[str, tuple[int, int, Way]] = {
    "overview": (120, 36, ()),
    "tree": (120, 36, ("t", "3", *["down"] * 4, "left")),
    "events": (120, 16, ("e",)),
    "process": (120, 36, ("down",) * 6 + ("enter",)),
    "act": (120, 36, scenes.question),
    "explain": (120, 36, ("down",) * 6 + ("x",)),
    "environment": (120, 36, scenes.environment),
    "profiles": (120, 30, scenes.profiles),
    "bench-result": (120, 30, scenes.bench_result),
    "visible": (120, 36, ("v", *"5,2,7,x")),
    "device": (150, 48, ("shift+tab", *["down"] * 6, "enter")),
}


class OneLook:
    """A feed that shows one snapshot and no more."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.latest = snapshot

    def subscribe(self, fn: Callable[[Snapshot], None]) -> Callable[[], None]:
        return lambda: None


def moment(timeline: DemoTimeline, second: float) -> Snapshot:
    """The demo machine at this second, with its events so far."""
    return replace(timeline.at(second), events=timeline.events_until(second))


async def take(width: int, height: int, keys: Way) -> str:
    """The SVG of the screen that these keys lead to."""
    timeline = DemoTimeline(OPENED_AT)
    clock = [0.0]
    watch = OrphanWatch(played_look, clock=lambda: clock[0])
    app = GpuDoctorApp(OneLook(moment(timeline, SECONDS)), watch=watch)
    for second in range(SECONDS):
        clock[0] = float(second)
        app.history.add(moment(timeline, second))
        watch.see(moment(timeline, second))
        if second % 10 == 0:
            watch.latest = watch.look()
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause(0.2)
        if callable(keys):
            await keys(pilot)
        else:
            await pilot.press(*keys)
        await pilot.pause(0.2)
        return app.export_screenshot(title="gpudoctor --demo")


def main() -> None:
    """Write every picture."""
    os.environ["TZ"] = "UTC"
    os.environ["COLORTERM"] = "truecolor"
    time.tzset()
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (width, height, keys) in PICTURES.items():
        (IMAGES / f"{name}.svg").write_text(asyncio.run(take(width, height, keys)))


if __name__ == "__main__":
    main()
