"""The texts on ranks and on two runs, in plain letters."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import ProfileFinding, ThreadTime
from gpudoctor.model.profile_diff import Change
from gpudoctor.model.ranks import RankFinding, RanksProfile, RankTime
from gpudoctor.profile.diff import compare
from gpudoctor.render import profile as one_run
from gpudoctor.render import profile_diff, ranks, ranks_html
from gpudoctor.render.text import console
from tests.profile.build import RUN, profile


def words(parts) -> str:
    wide = console()
    wide.width = 200
    with wide.capture() as taken:
        wide.print(*parts, sep="\n")
    return taken.get()


def time(number: int, **changes) -> RankTime:
    values = {"how": "finished", "steps": 60, "step_seconds": 0.02, "window_step_seconds": 0.02}
    values |= {"own_seconds": 0.015, "communication_seconds": 0.006, "exposed_seconds": 0.005}
    return RankTime(rank=number, local_rank=number, **{**values, **changes})


def ranks_of(*times: RankTime, **changes) -> RanksProfile:
    values = {"world_size": len(times), "missing": (), "findings": ()}
    return RanksProfile(
        ranks=times, profiles=tuple(profile() for _ in times), **{**values, **changes}
    )


def test_ranks_that_keep_pace_get_no_complaint_and_a_table():
    shown = words(ranks.report(ranks_of(time(0), time(1))))
    assert "Nothing to complain about: the ranks keep pace." in shown
    assert "2 of 2 ranks" in shown
    assert "25%" in shown


def test_what_a_rank_does_not_give_is_a_dash_and_not_zero():
    bare = time(0, steps=None, step_seconds=None, own_seconds=None, exposed_seconds=None)
    row = next(
        line for line in words(ranks.report(ranks_of(bare))).splitlines() if line.startswith(" 0")
    )
    assert row.count("–") == 5


def test_a_finding_says_on_which_ranks_it_was_made():
    found = ProfileFinding(
        "ranks.straggler",
        Severity.WARNING,
        "Rank 1 is slow.",
        2.0,
        "/home/me/a.py:3",
        ("why",),
        Fix("Do."),
    )
    both = replace(found, summary="All wait.")
    seen = ranks_of(
        time(0), time(1), findings=(RankFinding(found, (1,)), RankFinding(both, (0, 1)))
    )
    shown = words(ranks.report(seen))
    assert "1. Rank 1 is slow.  up to 2.00 s to gain  (rank 1)" in shown
    assert "a.py:3: why" in shown
    assert "2. All wait.  up to 2.00 s to gain  (all ranks)" in shown


def test_a_rank_that_failed_is_named_first_with_its_line_and_nothing_is_said_to_be_well():
    failed = replace(
        RUN, how="exception", exception="ValueError: no data", exception_line="/a.py:3"
    )
    ended = replace(RUN, how="terminated")
    seen = replace(
        ranks_of(time(0, how="terminated"), time(1, how="exception")),
        profiles=(profile(run=ended), profile(run=failed)),
    )
    shown = words(ranks.report(seen)).strip().splitlines()
    assert shown[0] == "Rank 1: ValueError: no data (/a.py:3)"
    assert shown[1] == "Rank 0: ended by SIGTERM"
    assert "Nothing to complain" not in "".join(shown)
    assert "Nothing to complain" not in ranks_html.html(seen)


def test_ranks_without_a_step_are_not_said_to_keep_pace():
    seen = ranks_of(time(0, steps=None), time(1, steps=0))
    for shown in (words(ranks.report(seen)), ranks_html.html(seen)):
        assert "but no training or inference step was seen" in shown
        assert "keep pace" not in shown


def test_the_step_decides_what_a_comparison_says():
    diff = compare(profile(), profile(), ("a", "b"))
    assert "within the noise" in words(profile_diff.report(diff, "/"))
    faster = replace(diff, step=Change("step", "seconds", 0.2, 0.1, "better"))
    assert "A step is 2.00 times faster: 200 ms → 100 ms." in words(
        profile_diff.report(faster, "/")
    )
    unknown = replace(diff, step=Change("step", "seconds", None, 0.1, "unknown"))
    assert "No step can be compared" in words(profile_diff.report(unknown, "/"))


def test_a_watched_job_shows_its_workers_and_claims_no_exit_code():
    worker = ThreadTime(12, "python a.py", "MainThread", True, 8.0, "get", 0.9, "/home/me/a.py:7")
    queue = replace(worker, main=False, function="wait")
    seen = profile(run=replace(RUN, how="watched", exit_code=None), threads=(worker, queue))
    shown = words(one_run.report(seen))
    assert "12.0 s, watched from outside" in shown
    assert "exit code" not in shown
    assert "a.py:7" in shown
    assert "wait" not in shown.partition("Worker processes")[2]
