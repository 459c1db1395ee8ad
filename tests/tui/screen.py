"""Reads what an application shows, as text."""

from __future__ import annotations

import time

from textual.app import App
from textual.pilot import Pilot

# Much more than it takes, since other tests may run at the same time on a small machine.
PATIENCE_S = 20


def lines(app: App) -> list[str]:
    """The lines of the terminal, as they are painted."""
    return [
        "".join(segment.text for segment in strip)
        for strip in app.screen._compositor.render_strips()
    ]


def text(app: App) -> str:
    return "\n".join(lines(app))


async def until(pilot: Pilot, condition) -> None:
    """Let the application work until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError(f"never came true; shown:\n{text(pilot.app)}")


async def seen(pilot: Pilot, words: str, seconds: int = 60) -> None:
    """Let the application work until it shows the words: programs take their time on a busy machine."""
    for _ in range(seconds * 10):
        if words in text(pilot.app):
            return
        await pilot.pause(0.1)
    raise AssertionError(f"never shown: {words}\n{text(pilot.app)}")
