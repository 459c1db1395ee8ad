"""What happened over time, on the screen: the recordings beside what the driver tells now."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import AT, uuid_of
from tests.present.test_happenings import NOTES, one_gpu, recorded
from tests.tui.screen import text, until
from tests.tui.test_details import opened


class Past:
    """A recording; it counts how often it was read for more than a day."""

    def __init__(self, history):
        self.history = history
        self.read_for_days = 0

    def read(self, since, until):
        if until - since > 90_000:
            self.read_for_days += 1
            if isinstance(self.history, GpuDoctorError):
                raise self.history
            return self.history
        return None


ALL = recorded(
    events=(GpuEvent(AT - 3000, uuid_of(1), "xid", 79),), notes=NOTES, gpus=(one_gpu(1, 1, 1),)
)


async def test_what_was_recorded_is_listed_with_what_the_driver_tells_now(feed):
    feed.latest = replace(feed.latest, events=(GpuEvent(AT - 5, uuid_of(0), "xid", 13),))
    app = GpuDoctorApp(feed, past=Past(ALL))
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "e")
        await until(pilot, lambda: "the last 7 days:  all 7" in text(app))
        for words in (
            "Xid 13",
            "Xid 79",
            "gpu.ecc: GPU 1: errors",
            "GPU 0 is lost",
            "pid 7 of ana",
        ):
            assert words in text(app)
        assert "clocks held down for 1m30s" in text(app)


async def test_f_shows_one_kind_after_the_other_and_then_all(feed):
    app = GpuDoctorApp(feed, past=Past(ALL))
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "e")
        await until(pilot, lambda: "Xid 79" in text(app))
        await pilot.press("f")
        await until(pilot, lambda: "gpu.ecc" not in text(app) and "Xid 79" in text(app))
        await pilot.press("f", "f")
        await until(pilot, lambda: "gpu.ecc" in text(app) and "Xid 79" not in text(app))
        await pilot.press("f", "f", "f")
        await until(pilot, lambda: "gpu.ecc" in text(app) and "Xid 79" in text(app))


async def test_r_reads_the_recordings_again(feed):
    past = Past(recorded())
    app = GpuDoctorApp(feed, past=past)
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "e")
        await until(pilot, lambda: "Nothing happened in the last 7 days." in text(app))
        past.history = ALL
        await pilot.press("r")
        await until(pilot, lambda: "Xid 79" in text(app))
        assert past.read_for_days == 2


async def test_recordings_that_cannot_be_read_are_told_of(feed):
    app = GpuDoctorApp(feed, past=Past(GpuDoctorError("the history is damaged")))
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "e")
        await until(pilot, lambda: "cannot be read: the history is damaged." in text(app))
