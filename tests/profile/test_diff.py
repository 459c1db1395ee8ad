"""What changed between two runs, and what noise does not let one say."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from gpudoctor.cli.main import run
from gpudoctor.model.finding import Severity
from gpudoctor.model.operators import OperatorTime
from gpudoctor.model.profile import PhaseTime, ProfileFinding, StepTimes
from gpudoctor.profile.diff import compare
from tests.profile.build import RUN, WINDOW, line, profile
from tests.profile.build import session as write_session


def steps(median: float, spread: float = 0.02, count: int = 300, seed: int = 1) -> StepTimes:
    chance = random.Random(seed)
    series = tuple(median * (1 + chance.gauss(0, spread)) for _ in range(count))
    ordered = sorted(series)
    return StepTimes(
        "optimizer", count, sum(series), ordered[count // 2], ordered[-1], median, series
    )


def changed(before, after):
    return compare(before, after, ("a", "b"))


def test_a_step_that_got_faster_is_better_and_one_that_got_slower_is_worse():
    slow, fast = profile(steps=steps(0.2)), profile(steps=steps(0.1))
    assert changed(slow, fast).step.verdict == "better"
    assert changed(fast, slow).step.verdict == "worse"


@pytest.mark.parametrize("seed", range(2, 8))
def test_the_same_step_again_is_the_same_within_its_noise(seed):
    assert (
        changed(
            profile(steps=steps(0.1, 0.4)), profile(steps=steps(0.1, 0.4, seed=seed))
        ).step.verdict
        == "same"
    )


def test_a_drift_inside_a_run_widens_what_counts_as_noise():
    drifting = tuple(0.1 * (1 + 0.6 * at / 300) for at in range(300))
    one = replace(steps(0.1), series=drifting, median_seconds=0.13)
    two = replace(one, median_seconds=0.14)
    assert changed(profile(steps=one), profile(steps=two)).step.verdict == "same"


def test_without_steps_nothing_is_claimed():
    seen = changed(profile(steps=None), profile(steps=steps(0.1)))
    assert (seen.step.verdict, seen.step.before) == ("unknown", None)


def window(python: float, mm: float, count: int = 20):
    return replace(
        WINDOW,
        steps=count,
        seconds=0.1 * count,
        phases=(PhaseTime("python", python * count), PhaseTime("data", 0.0)),
        operators=(OperatorTime("aten::mm", count, mm * count, None),),
    )


def test_phases_and_operators_are_compared_per_step():
    seen = changed(profile(window=window(0.05, 0.02, 20)), profile(window=window(0.01, 0.02, 40)))
    assert [(one.name, one.verdict) for one in seen.phases] == [
        ("python", "better"),
        ("data", "same"),
    ]
    assert seen.operators == ()


def test_what_one_interruption_explains_is_not_called_a_change():
    seen = changed(profile(window=window(0.002, 0.02, 4)), profile(window=window(0.004, 0.02, 4)))
    assert seen.phases[0].verdict == "same"


def test_a_line_is_known_by_its_text_when_an_edit_moved_it():
    before = profile(lines=(line(7, 8.0, text="x = f(x)"), line(8, 5.0, text="old()")))
    after = profile(lines=(line(30, 1.0, text="x = f(x)"), line(31, 5.0, text="new()")))
    rows = {one.name: one for one in changed(before, after).lines}
    assert (rows["main: x = f(x)"].verdict, rows["main: x = f(x)"].place) == (
        "better",
        "/home/me/main.py:30",
    )
    assert (rows["main: old()"].verdict, rows["main: new()"].verdict) == ("gone", "new")


def test_a_few_samples_more_on_a_line_are_chance():
    before, after = profile(lines=(line(7, 0.10),)), profile(lines=(line(7, 0.16),))
    assert changed(before, after).lines == ()


def finding(name: str) -> ProfileFinding:
    return ProfileFinding(name, Severity.WARNING, name, 1.0, "/home/me/main.py:7")


def test_findings_that_went_and_came_are_told():
    both = finding("both")
    seen = changed(profile(findings=(finding("a"), both)), profile(findings=(both, finding("b"))))
    assert ([one.id for one in seen.solved], [one.id for one in seen.new]) == (["a"], ["b"])


def test_other_programs_and_step_counts_are_noted():
    other = profile(run=replace(RUN, program=("other.py",)), steps=steps(0.1, count=7))
    notes = " ".join(changed(profile(), other).notes)
    assert "two different programs" in notes
    assert "100 and 7 steps" in notes
    assert "few steps (7)" in notes


def test_the_command_compares_two_session_folders(tmp_path, capsys):
    for name in "ab":
        write_session(tmp_path / name)
    arguments = ["profile", "--diff", str(tmp_path / "a"), str(tmp_path / "b")]
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "gpudoctor.profile.diff/1"
    assert run(arguments) == 0
    assert "as long as before" in capsys.readouterr().out


def test_a_folder_of_ranks_is_not_compared_as_one_run(tmp_path, capsys):
    (tmp_path / "ranks").mkdir()
    write_session(tmp_path / "ranks" / "rank0")
    assert run(["profile", "--diff", str(tmp_path / "ranks"), str(tmp_path / "ranks")]) != 0
    assert "rank0" in capsys.readouterr().err
