"""The reclaim policy at work: with made-up orphans where time matters, and with a real one."""

from __future__ import annotations

import os
import pwd
import time

import pytest

from gpudoctor.cli.sources import open_machine
from gpudoctor.daemon.acts import ActLog
from gpudoctor.daemon.inspector import Inspector
from gpudoctor.daemon.journal import Journal
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.policy import Mode, Policy, Rule
from gpudoctor.daemon.reclaimer import LONGEST_GAP_S, Reclaimer
from gpudoctor.host.proc_files import TICKS_PER_SECOND, boot_time, read_stat
from gpudoctor.model.check import CheckReport
from gpudoctor.model.orphan import Offer, Orphan, Reason, Verdict, Weight
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.render.metrics.view import Inspection
from gpudoctor.sampling.sampler import Sampler
from tests.builders import GIB, device, process, snapshot
from tests.nvml_sim.machine import SimProcess
from tests.reclaim.children import PROC

ME = pwd.getpwuid(os.getuid()).pw_name
HELD_S = 600.0


def started(pid):
    return boot_time(PROC) + read_stat(PROC, pid).start_ticks / TICKS_PER_SECOND


def orphan(pid, **changes):
    made = {
        "pid": pid,
        "key": ProcessKey(pid, started(pid)),
        "verdict": Verdict.ORPHAN,
        "reasons": (Reason("launcher-died", Weight.HIGH, "its launcher died", "parent is 1"),),
        "offers": (Offer("kill", f"gpudoctor kill {pid}", "end it"),),
        "memory_used_bytes": 17 * GIB,
        "gpus": (0,),
        "name": "python",
        "user": ME,
        "uid": os.getuid(),
    }
    return Orphan(**(made | changes))


class World:
    """A reclaimer whose clock, inspections and samples a test makes."""

    def __init__(self, *rules, at_most=5, acts=None):
        self.at = 10_000.0
        self.told = []
        self.ledger = Ledger(interval_s=1.0)
        policy = Policy(rules, at_most)
        self.reclaimer = Reclaimer(
            policy, self.ledger, self._tell, acts=acts, clock=lambda: self.at
        )

    def _tell(self, change):
        self.told.append(change)

    def look(self, *orphans, after=0.0, state=DeviceState.OK, source="nvml", listed=True):
        self.at += after
        rows = tuple(process(one.pid, started=one.key.started) for one in orphans)
        seen = snapshot(device(0, state=state), processes=rows if listed else (), source=source)
        self.ledger.add(seen)
        report = CheckReport(findings=(), checks=(), duration_seconds=0.0)
        return self.reclaimer.consider(Inspection(time.time(), 0.0, orphans, report))

    def wait(self, *orphans, seconds, **more):
        """Inspections every minute until `seconds` later; the acts."""
        acts = [self.look(*orphans, after=60.0, **more) for _ in range(int(seconds // 60))]
        return [act for act in acts if act is not None]


@pytest.fixture
def sleeper(children):
    return children.python("print('ready')\nimport time\ntime.sleep(600)")


def lives(pid):
    stat = read_stat(PROC, pid)
    return stat is not None and stat.state != "Z"


def kill(*users):
    return Rule(users or (ME,), HELD_S, Mode.KILL)


def test_a_dry_run_tells_once_what_it_would_end_and_ends_nothing(sleeper):
    world = World(Rule((ME,), HELD_S))
    found = orphan(sleeper)
    world.look(found)
    assert world.wait(found, seconds=540) == []
    assert world.told == []
    world.wait(found, seconds=600)
    [change] = world.told
    assert change.summary.startswith(
        f"reclaim (dry-run): would end pid {sleeper} of {ME}, left over for 10m00s, 17.0 GiB on GPU 0:"
    )
    assert "its launcher died (parent is 1)" in change.summary
    assert world.reclaimer.counts() == {("dry-run", "would_end"): 1}
    assert lives(sleeper)


def test_what_is_left_over_for_long_enough_is_ended_gently(sleeper):
    world = World(kill())
    found = orphan(sleeper)
    world.look(found)
    [act] = world.wait(found, seconds=660)
    assert (act.result, act.detail, act.held_s) == ("ended", "SIGINT", HELD_S)
    assert not lives(sleeper)
    assert world.reclaimer.counts() == {("kill", "ended"): 1}
    assert "ended pid" in world.told[0].summary
    assert world.told[0].summary.endswith("[SIGINT]")


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict.SUSPECT},
        {"verdict": Verdict.IN_USE},
        {"user": "somebody-else", "uid": 4242},
        {"user": None},
        {"uid": None},
        {"offers": ()},
        {"gpus": ()},
        {"gpus": (0, 1)},
    ],
)
def test_what_is_not_certain_or_not_covered_is_left_alone(sleeper, changes):
    world = World(kill())
    found = orphan(sleeper, **changes)
    world.look(found)
    assert world.wait(found, seconds=1200) == []
    assert world.told == []
    assert lives(sleeper)


def test_roots_processes_are_left_alone_by_a_rule_for_everybody(sleeper):
    world = World(kill("*"))
    found = orphan(sleeper, user="root", uid=0)
    world.look(found)
    assert world.wait(found, seconds=1200) == []
    assert lives(sleeper)


@pytest.mark.parametrize(
    "more", [{"state": DeviceState.STALE}, {"state": DeviceState.LOST}, {"listed": False}]
)
def test_nothing_is_ended_while_the_gpu_is_silent_or_does_not_list_it(sleeper, more):
    world = World(kill())
    found = orphan(sleeper)
    world.look(found)
    assert world.wait(found, seconds=1200, **more) == []
    assert lives(sleeper)


def test_nothing_is_ended_while_samples_do_not_come_and_the_time_begins_anew(sleeper):
    world = World(kill())
    found = orphan(sleeper)
    world.look(found)
    world.wait(found, seconds=540)
    world.ledger._clock = lambda: float("inf")
    report = CheckReport(findings=(), checks=(), duration_seconds=0.0)
    world.at += 600
    assert world.reclaimer.consider(Inspection(time.time(), 0.0, (found,), report)) is None
    world.ledger._clock = time.monotonic
    assert world.wait(found, seconds=540) == []
    assert len(world.wait(found, seconds=120)) == 1


def test_a_break_in_the_verdict_or_in_the_looks_begins_the_time_anew(sleeper):
    world = World(kill())
    found = orphan(sleeper)
    world.look(found)
    world.wait(found, seconds=540)
    world.look(orphan(sleeper, verdict=Verdict.IN_USE), after=60)
    assert world.wait(found, seconds=600) == []
    world.look(found, after=LONGEST_GAP_S + 1)
    assert lives(sleeper)


def test_another_process_with_the_same_pid_is_left_alone(sleeper):
    world = World(kill())
    found = orphan(sleeper, key=ProcessKey(sleeper, started(sleeper) - 3600))
    world.look(found)
    world.wait(found, seconds=660)
    assert lives(sleeper)
    assert world.reclaimer.counts() == {("kill", "refused"): 1}
    assert "that pid is now python" in world.told[0].summary


def test_a_process_that_changed_its_user_is_left_alone(sleeper):
    world = World(kill("ana"))
    found = orphan(sleeper, user="ana", uid=os.getuid() + 1)
    world.look(found)
    world.wait(found, seconds=660)
    assert lives(sleeper)
    assert world.reclaimer.counts() == {("kill", "refused"): 1}


def test_gpudoctor_itself_is_never_ended():
    world = World(kill())
    found = orphan(os.getpid())
    world.look(found)
    world.wait(found, seconds=660)
    assert "it is gpudoctor itself" in world.told[0].summary


def test_the_processes_of_a_made_up_machine_are_never_ended(sleeper):
    world = World(kill())
    found = orphan(sleeper)
    world.look(found, source="demo")
    world.wait(found, seconds=660, source="demo")
    assert lives(sleeper)
    assert "the machine is made up" in world.told[0].summary


def test_one_is_ended_after_each_look_and_no_more_in_an_hour_than_allowed(children):
    pids = [children.python("print('ready')\nimport time\ntime.sleep(600)") for _ in range(3)]
    world = World(kill(), at_most=2)
    found = [orphan(pid) for pid in pids]
    world.look(*found)
    first = world.look(*found, after=HELD_S)
    assert (first.result, first.orphan.pid) == ("ended", pids[0])
    assert [lives(pid) for pid in pids] == [False, True, True]
    rest = found[1:]
    assert world.look(*rest, after=60).result == "ended"
    world.wait(found[2], seconds=1800)
    assert lives(pids[2])
    assert world.reclaimer.counts() == {("kill", "ended"): 2, ("kill", "limited"): 1}
    assert "2 were ended within an hour" in world.told[-1].summary
    assert len(world.wait(found[2], seconds=1800)) == 1
    assert not lives(pids[2])


def sleepers(children, count):
    return [children.python("print('ready')\nimport time\ntime.sleep(600)") for _ in range(count)]


def test_a_daemon_that_starts_anew_stays_within_the_limit_of_the_one_before(children, tmp_path):
    first, second = map(orphan, sleepers(children, 2))
    wall = [1_800_000_000.0]
    acts = ActLog(tmp_path / "state" / "reclaimed.json", clock=lambda: wall[0])
    world = World(kill(), at_most=1, acts=acts)
    world.look(first)
    assert world.look(first, after=HELD_S).result == "ended"
    wall[0] += 1200
    world = World(kill(), at_most=1, acts=acts)
    world.look(second)
    assert world.wait(second, seconds=2340) == []
    assert lives(second.pid)
    assert world.reclaimer.counts() == {("kill", "limited"): 1}
    assert [act.result for act in world.wait(second, seconds=120)] == ["ended"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"ended_at": 7}', '{"ended_at": [NaN]}', '{"ended_at": ["a"]}']
)
def test_a_damaged_memory_of_acts_counts_as_the_limit_reached(sleeper, tmp_path, text, caplog):
    path = tmp_path / "reclaimed.json"
    path.write_text(text)
    world = World(kill(), at_most=1000, acts=ActLog(path))
    assert "nothing is ended for an hour" in caplog.text
    found = orphan(sleeper)
    world.look(found)
    assert world.wait(found, seconds=3540) == []
    assert lives(sleeper)
    assert [act.result for act in world.wait(found, seconds=120)] == ["ended"]


def test_what_cannot_be_written_down_is_not_done_until_it_can_be(sleeper, tmp_path):
    world = World(kill(), acts=ActLog(tmp_path / "state" / "reclaimed.json"))
    (tmp_path / "state").write_text("no folder")
    found = orphan(sleeper)
    world.look(found)
    assert world.wait(found, seconds=1200) == []
    assert lives(sleeper)
    [change] = world.told
    assert "its time cannot be written down" in change.summary
    (tmp_path / "state").unlink()
    assert [act.result for act in world.wait(found, seconds=60)] == ["ended"]


def test_a_clock_that_was_set_back_does_not_shorten_the_limit(tmp_path):
    wall = [1_800_000_000.0]
    acts = ActLog(tmp_path / "reclaimed.json", clock=lambda: wall[0])
    for _ in range(3):
        acts.add()
        wall[0] += 100.0
    assert acts.ages() == [300.0, 200.0, 100.0]
    wall[0] -= 250.0
    assert acts.ages() == [50.0, 0.0, 0.0]
    wall[0] += 3600.0
    assert acts.ages() == [3550.0, 3450.0]


def test_a_policy_that_was_read_again_holds_from_the_next_look_on(sleeper, caplog):
    world = World(Rule((ME,), HELD_S))
    found = orphan(sleeper)
    world.look(found)
    world.wait(found, seconds=660)
    assert lives(sleeper)
    world.reclaimer.use(Policy((kill(),)))
    assert "1 of 1 rules end processes, at most 5 in an hour" in caplog.text
    assert world.look(found, after=60).result == "ended"
    assert not lives(sleeper)


@pytest.fixture
def abandoned(children):
    """A real orphan."""
    return children.orphan()


def inspected(sampler, ledger, inspector):
    seen = sampler.once()
    ledger.add(seen)
    return inspector.inspect(seen)


def test_a_real_orphan_on_the_driver_is_only_named_in_a_dry_run_and_ended_in_earnest(
    nvml_sim, abandoned, sleeper
):
    machine = nvml_sim.machine
    for gpu in machine.gpus:
        gpu.processes.clear()
    machine.gpus[3].processes += [SimProcess(abandoned, 17 * GIB), SimProcess(sleeper, GIB)]
    nvml_sim.save()
    at = [0.0]
    ledger, journal = Ledger(interval_s=1.0), Journal()
    reclaimer = Reclaimer(
        Policy((Rule((ME,), HELD_S),)), ledger, journal.add_change, clock=lambda: at[0]
    )
    inspector = Inspector(ledger, interval_s=60)
    with open_machine() as opened:
        sampler = Sampler(opened.nvml, opened.host)
        for mode in Mode:
            reclaimer.use(Policy((Rule((ME,), HELD_S, mode),)))
            found = inspected(sampler, ledger, inspector)
            assert [one.pid for one in found.orphans if one.verdict is Verdict.ORPHAN] == [
                abandoned
            ]
            at[0] += HELD_S / 2
            reclaimer.consider(found)
            at[0] += HELD_S
            reclaimer.consider(found)
            assert lives(sleeper)
            assert lives(abandoned) is (mode is Mode.DRY_RUN)
        sampler.stop()
    assert reclaimer.counts() == {("dry-run", "would_end"): 1, ("kill", "ended"): 1}
