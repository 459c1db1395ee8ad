from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.readings import MigInstance, MigReading
from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.present.facts import Fact, device_facts, process_facts
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.screens.facts import balanced
from tests.builders import AT, GIB, device, process, snapshot, uuid_of
from tests.present.test_verdicts import judged
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until


async def opened(app, pilot, *keys):
    await until(pilot, lambda: app.snapshot is not None and "PID" in text(app))
    await pilot.press(*keys)
    await pilot.pause()


async def test_enter_opens_the_process_under_the_cursor_and_escape_goes_back(app):
    async with app.run_test(size=(100, 50)) as pilot:
        await opened(app, pilot, "down", "enter")
        await until(pilot, lambda: "host memory" in text(app))
        page = text(app)
        assert "pid  300" in page and "command  bash" in page and "user  cho" in page
        assert uuid_of(1) in page
        await pilot.press("escape")
        await until(pilot, lambda: "COMMAND" in text(app))


async def test_a_process_that_ended_is_shown_as_it_was_and_its_reused_pid_is_not_taken_for_it(
    app, feed
):
    async with app.run_test(size=(100, 50)) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "python serve.py" in text(app))
        other = process(200, index=1, started=AT - 1, command=("thief",))
        feed.publish(replace(feed.latest, processes=(other,)))
        await until(pilot, lambda: "holds no GPU any more" in text(app))
        assert "python serve.py" in text(app)
        assert "thief" not in text(app)


async def test_the_memory_of_a_process_is_drawn_over_time(app, feed):
    async with app.run_test(size=(100, 50)) as pilot:
        await opened(app, pilot, "enter")
        first = feed.latest
        grown = tuple(replace(row, memory_used_bytes=60 * GIB) for row in first.processes)
        feed.publish(replace(first, processes=grown, taken_at=first.taken_at + 5))
        await until(pilot, lambda: "full height is 60.0 GiB" in text(app))
        graph = [line for line in lines(app) if "█" in line]
        assert len(graph) == 6
        assert graph[0].count("█") == 1 and graph[-1].count("█") > 5


async def test_enter_on_a_gpu_opens_all_its_readings(app):
    async with app.run_test(size=(160, 60)) as pilot:
        await opened(app, pilot, "shift+tab", "down", "enter")
        await until(pilot, lambda: "Power, heat, clocks" in text(app))
        assert "GPU 1: NVIDIA H100" in text(app)
        assert "350 W of 700 W" in text(app)


async def test_a_mig_instance_opens_the_gpu_that_it_is_part_of_and_a_gpu_that_left_is_told():
    mig = MigReading(True, (MigInstance("MIG-a", 1, 0, "1g.10gb"),))
    feed = ScriptedFeed(snapshot(device(0), device(1, mig=mig)))
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(160, 60)) as pilot:
        await until(pilot, lambda: "1g.10gb" in text(app))
        await pilot.press("shift+tab", "end", "enter")
        await until(pilot, lambda: "GPU 1: NVIDIA H100" in text(app))
        feed.publish(snapshot(device(0)))
        await until(pilot, lambda: "is not there any more" in text(app))


async def test_the_events_screen_tells_what_happened_with_the_catalogues_advice(app, feed):
    happened = (
        GpuEvent(AT - 9000, uuid_of(0), "xid", 79),
        GpuEvent(AT - 60, uuid_of(1), "xid", 13),
        GpuEvent(AT - 30, uuid_of(1), "xid", 9999),
    )
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot, "e")
        assert "The driver has told of no event since the start." in text(app)
        feed.publish(replace(feed.latest, events=happened))
        await until(pilot, lambda: "Xid 79" in text(app))
        page = lines(app)
        first = next(i for i, line in enumerate(page) if "WHAT IT MEANS" in line)
        told = [line.split() for line in page[first + 1 : first + 4]]
        assert [row[1:4] for row in told] == [
            ["1", "Xid", "9999"],
            ["1", "Xid", "13"],
            ["0", "Xid", "79"],
        ]
        assert "restart the application" in page[first + 2]
        assert "restart the machine" in page[first + 3]
        await pilot.press("e")
        await until(pilot, lambda: "COMMAND" in text(app))


async def test_help_lists_every_key_of_the_screen_and_comes_from_the_bindings(app):
    async with app.run_test(size=(100, 50)) as pilot:
        await opened(app, pilot, "question_mark")
        page = text(app)
        shown = [
            line
            for binding in app.screen_stack[-2].active_bindings.values()
            if binding.binding.show
            for line in [binding.binding.description]
            if line not in page
        ]
        assert not shown
        for words in ("Sort by GPU memory", "Filter", "Page down", "Quit", "Theme"):
            assert words in page
        assert "Scroll Left" not in page
        await pilot.press("q")
        await until(pilot, lambda: "Page down" not in text(app))
        assert app.is_running


async def test_a_look_taken_meanwhile_is_there_when_one_comes_back(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "question_mark")
        feed.publish(replace(feed.latest, processes=(process(4242),)))
        await pilot.pause(0.1)
        await pilot.press("escape")
        await until(pilot, lambda: "4242" in text(app))


def test_columns_of_facts_keep_their_order_and_are_about_equally_high():
    blocks = [[Fact(str(n))] * size for n, size in enumerate((9, 10, 12, 8, 12))]
    columns = balanced(blocks, 2)
    assert [block[0].name for column in columns for block in column] == ["0", "1", "2", "3", "4"]
    heights = [sum(len(block) + 1 for block in column) for column in columns]
    assert max(heights) - min(heights) <= 14
    assert balanced(blocks, 1) == [blocks]


def test_no_fact_of_a_bare_gpu_or_process_is_a_made_up_zero():
    bare = replace(device(), facts=replace(device().facts, memory_total_bytes=None))
    for group in ("memory", "utilization", "power", "thermal", "clocks"):
        bare = replace(bare, **{group: type(getattr(bare, group))()})
    values = {fact.name: fact.value for fact in device_facts(bare, AT) if not fact.heading}
    named = {"state", "error", "uuid", "PCI bus id"}
    assert not [
        name
        for name, value in values.items()
        if name not in named and any(c.isdigit() for c in value)
    ]
    lone = process(
        5, used=None, started=None, user=None, cpu_ratio=None, host_memory_used_bytes=None
    )
    told = {fact.name: fact.value for fact in process_facts(lone, AT)}
    for name in ("user", "runs for", "CPU", "host memory", "GPU memory", "memory", "SM"):
        assert told[name] == "–", name


class Verdicts:
    def __init__(self, *orphans):
        self.latest = orphans
        self.settled = frozenset()
        self._readers = []

    def subscribe(self, reader):
        self._readers.append(reader)

    def publish(self, *orphans):
        self.latest = orphans
        for reader in self._readers:
            reader(orphans)


async def test_left_over_processes_are_marked_as_soon_as_they_are_judged_and_explained(feed):
    watch = Verdicts()
    app = GpuDoctorApp(feed, watch=watch)
    async with app.run_test(size=(140, 50)) as pilot:
        await opened(app, pilot)
        assert "orphan" not in text(app)
        watch.publish(judged(pid=100))
        await until(pilot, lambda: "pid 100 of cho is left over" in text(app))
        assert [line.split()[0] for line in lines(app) if " orphan " in line] == ["100"]
        await pilot.press("end", "enter")
        await until(pilot, lambda: "What can be done" in text(app))
        assert "its parent died: parent is 1 (systemd)" in text(app)
        assert "gpudoctor kill 100" in text(app)
        watch.publish()
        await until(pilot, lambda: "What can be done" not in text(app))
