"""Looks at the machine, and works on it, outside of the thread that paints."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from textual.app import App

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.tui.feed import Feed

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
# Settings allow looks that are minutes apart.
_PATIENCE_S = 600.0


def next_look(feed: Feed) -> Callable[[], Snapshot]:
    """A function that waits for the feed's next snapshot. Never to be called in the painting thread."""

    def see() -> Snapshot:
        arrived = threading.Event()
        seen: list[Snapshot] = []

        def take(snapshot: Snapshot) -> None:
            seen.append(snapshot)
            arrived.set()

        unsubscribe = feed.subscribe(take)
        try:
            if not arrived.wait(_PATIENCE_S):
                raise GpuDoctorError("the GPUs are not looked at any more")
        finally:
            unsubscribe()
        return seen[-1]

    return see


def apart(
    app: App[None], work: Callable[[], _T], arrived: Callable[[_T | GpuDoctorError], None]
) -> None:
    """Runs `work` in a thread of its own and hands what came of it to `arrived`, in the app's thread.

    A thread that hangs keeps nobody from quitting.
    """

    def run() -> None:
        came: _T | GpuDoctorError
        try:
            came = work()
        except GpuDoctorError as error:
            came = error
        except Exception as error:  # noqa: BLE001 - whoever waits is to be told whatever it was
            _LOG.exception("what was to be done in the background failed")
            came = GpuDoctorError(
                "this failed unexpectedly", cause=f"{type(error).__name__}: {error}"
            )
        # The application may have ended meanwhile, and its loop with it.
        with contextlib.suppress(RuntimeError):
            app.call_later(arrived, came)

    threading.Thread(target=run, name="apart", daemon=True).start()
