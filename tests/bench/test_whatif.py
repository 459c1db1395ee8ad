"""How the what-if runs are planned, on a script whose speed under each setting is made up."""

import json
from types import SimpleNamespace

import pytest

from gpudoctor.bench import whatif
from gpudoctor.bench.children import Ended
from gpudoctor.bench.session import Plan
from gpudoctor.bench.settings import parse
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.bench import Status, Trajectory


class MadeUpScript:
    """Stands for the launcher: `speeds` maps a setting's changes to steps per second, or to a failure."""

    def __init__(self, tmp_path, speeds, *, workers=0, device="cpu", seconds=1.0, **facts):
        self.folder = tmp_path
        self.ran = []
        self._speeds = {json.dumps(dict(changes)): speed for changes, speed in speeds}
        self._facts = {"losses": [1.0, 0.5], "could_not": [], "operators": [], **facts}
        self._workers = workers
        self._device = device
        self._seconds = seconds
        self._wobble = 0

    def run(self, part, options, arguments, *, timeout_s, environ):
        setting = options["setting"]
        self.ran.append(next(iter(setting.items())))
        speed = self._speeds.get(json.dumps(setting), 10.0)
        if isinstance(speed, str):
            return Ended(1, None, speed, False, self._seconds)
        self._wobble += 1
        step = (1 + 0.001 * (self._wobble % 3)) / speed if speed else 0.1
        changed = [] if "observe" in setting or speed == 0 else [{"what": "x", "site": None}]
        result = {
            "how": "stopped",
            "device": self._device,
            "device_name": None,
            "machine": {},
            "steps": 25,
            "step_seconds": [step] * 20,
            "window_seconds": 20 * step,
            "peak_memory_bytes": 1,
            "changed": changed,
            "loaders": [{"num_workers": self._workers}],
            **self._facts,
        }
        return Ended(0, result, "", False, self._seconds)


def run(script, tried, **plan):
    lines = []
    settings = {
        "kind": "script",
        "target": "main.py",
        "arguments": (),
        "rounds": 4,
        "cpus": 8,
        **plan,
    }
    report = whatif.run(Plan(wanted=parse(tried), **settings), script, lines.append)
    return report, {row.setting: row for row in report.results}, lines


def workers(**speeds):
    return [({"num_workers": int(name[1:])}, speed) for name, speed in speeds.items()]


def test_the_search_ends_where_more_workers_are_clearly_worse(tmp_path):
    script = MadeUpScript(tmp_path, workers(n1=15.0, n2=30.0, n4=10.0, n8=5.0))
    _, rows, _ = run(script, "num-workers=0..8")
    assert rows["num-workers=2"].speedup.faster
    assert rows["num-workers=4"].notes == ("one run of the search",)
    assert rows["num-workers=8"].status is Status.SKIPPED
    assert ("num_workers", 8) not in script.ran


def test_one_value_that_is_a_little_worse_does_not_end_the_search(tmp_path):
    script = MadeUpScript(tmp_path, workers(n1=20.0, n2=17.0, n4=40.0, n8=41.0))
    _, rows, _ = run(script, "num-workers=0..8")
    assert rows["num-workers=8"].speedup.faster


def test_the_number_of_workers_that_the_script_has_is_not_run_twice(tmp_path):
    script = MadeUpScript(tmp_path, workers(n0=5.0, n1=8.0, n4=12.0), workers=2)
    run(script, "num-workers=0..4")
    assert ("num_workers", 2) not in script.ran
    assert ("num_workers", 4) in script.ran


def test_a_claim_comes_from_the_rounds_and_never_from_the_search(tmp_path):
    script = MadeUpScript(tmp_path, workers(n1=11.0, n2=20.0))
    _, rows, _ = run(script, "num-workers=0..2")
    assert rows["num-workers=1"].speedup is None
    assert rows["num-workers=2"].speedup.rounds == rows["num-workers=2"].step.rounds == 4


def test_rounds_are_interleaved_and_each_starts_elsewhere(tmp_path):
    script = MadeUpScript(tmp_path, [])
    run(script, "amp,deterministic", rounds=3)
    names = [name for name, _ in script.ran[1:]]
    assert names == [
        "observe", "amp", "deterministic",
        "amp", "deterministic", "observe",
        "deterministic", "observe", "amp",
    ]  # fmt: skip


def test_nothing_gained_is_said_so(tmp_path):
    report, rows, _ = run(MadeUpScript(tmp_path, []), "amp,deterministic")
    assert report.verdicts == (
        "main.py: nothing is gained, as far as can be shown, by amp, deterministic.",
    )
    assert rows["amp"].trajectory is Trajectory.EQUAL


def test_a_setting_that_fails_or_changes_nothing_is_run_once_and_keeps_its_reason(tmp_path):
    speeds = [({"amp": True}, "RuntimeError: no bfloat16"), ({"fused": True}, 0)]
    script = MadeUpScript(tmp_path, speeds, could_not=["it is sealed"])
    _, rows, _ = run(script, "amp,fused-optimizer,channels-last")
    assert rows["amp"].status is Status.FAILED
    assert rows["amp"].reason == "exit code 1: RuntimeError: no bfloat16"
    assert rows["fused-optimizer"].status is Status.NOT_APPLICABLE
    assert rows["fused-optimizer"].reason == "it is sealed"
    assert script.ran.count(("amp", True)) == script.ran.count(("fused", True)) == 1


def test_what_needs_cuda_is_tried_only_where_the_script_uses_it(tmp_path):
    _, rows, _ = run(MadeUpScript(tmp_path, []), "tf32,cudnn-benchmark,pin-memory")
    assert {row.status for name, row in rows.items() if name != "unchanged"} == {
        Status.NOT_APPLICABLE
    }
    script = MadeUpScript(tmp_path, [], device="cuda:0")
    _, rows, _ = run(script, "tf32")
    assert rows["tf32"].status is Status.MEASURED


def test_without_a_data_loader_workers_are_not_searched(tmp_path):
    script = MadeUpScript(tmp_path, [], loaders=[])
    _, rows, _ = run(script, "num-workers=0..8,prefetch=4")
    assert rows["num-workers"].reason == "the script makes no DataLoader"
    assert len(script.ran) == 2


@pytest.fixture
def paced(monkeypatch):
    """A function that makes each run of a script take so many seconds of a clock of its own."""

    def pace(script, seconds=10.0):
        clock = SimpleNamespace(now=0.0)
        monkeypatch.setattr(whatif.time, "monotonic", lambda: clock.now)
        plain = script.run

        def timed(*args, **kwargs):
            clock.now += seconds
            return plain(*args, **kwargs)

        script.run = timed
        script._seconds = seconds
        return clock

    return pace


def test_when_the_budget_ends_the_first_settings_keep_their_rounds(tmp_path, paced):
    script = MadeUpScript(tmp_path, [({"amp": True}, 20.0)])
    clock = paced(script)
    report, rows, _ = run(script, "amp,deterministic,channels-last", budget_s=100.0)
    assert rows["amp"].speedup.faster
    assert rows["channels-last"].speedup is None
    assert "too few rounds for a claim: 1" in rows["channels-last"].notes
    assert clock.now <= 100.0
    assert "3 of 4 rounds were run in full" in report.notes[0]


def test_the_fastest_so_far_keeps_its_rounds_and_not_the_first_of_the_list(tmp_path, paced):
    script = MadeUpScript(tmp_path, [({"deterministic": True}, 20.0)])
    paced(script)
    _, rows, _ = run(script, "amp,deterministic,channels-last", budget_s=100.0)
    assert rows["deterministic"].speedup.faster
    assert rows["amp"].step.rounds == 1


def test_what_does_not_fit_is_not_begun_so_that_something_can_be_claimed(tmp_path, paced):
    script = MadeUpScript(tmp_path, [({"amp": True}, 20.0)])
    paced(script)
    report, rows, _ = run(script, "amp,deterministic,channels-last", budget_s=81.0)
    assert rows["amp"].speedup.faster
    assert rows["channels-last"].status is Status.SKIPPED
    assert "the budget has time for 2 of the settings" in rows["channels-last"].reason
    assert "once" not in report.verdicts[0]


def test_a_setting_whose_timings_scatter_gets_more_rounds_alone(tmp_path):
    script = MadeUpScript(tmp_path, [])
    plain = script.run

    def scattered(part, options, arguments, **kwargs):
        ended = plain(part, options, arguments, **kwargs)
        if "amp" in options["setting"]:
            ended.result["window_seconds"] *= (0.8, 1.2, 1.0)[len(script.ran) % 3]
        return ended

    script.run = scattered
    report, rows, lines = run(script, "amp,deterministic", rounds=5, grow=True)
    assert rows["deterministic"].step.rounds == 5
    assert 5 < rows["amp"].step.rounds <= 15
    assert rows["amp"].speedup.rounds == rows["amp"].step.rounds
    assert any("The timings of amp scattered" in note for note in report.notes)
    assert any("as the timings scatter" in line for line in lines)
    _, rows, _ = run(script, "amp,deterministic", rounds=5)
    assert rows["amp"].step.rounds == 5


def test_the_search_leaves_every_setting_its_turn(tmp_path, paced):
    script = MadeUpScript(tmp_path, workers(n1=11.0, n2=12.0, n4=13.0, n8=14.0))
    paced(script)
    _, rows, _ = run(script, "num-workers=0..8,amp,deterministic,channels-last", budget_s=130.0)
    searched = [value for name, value in script.ran if name == "num_workers"]
    assert set(searched) == {1, 2}
    assert rows["num-workers=8"].reason.startswith("the search had used its share of the budget")
    assert all(rows[name].step for name in ("amp", "deterministic", "channels-last"))
    assert rows["num-workers=2"].step.rounds >= 1


def test_without_time_for_a_search_the_number_nearest_to_the_cpus_is_measured(tmp_path, paced):
    script = MadeUpScript(tmp_path, workers(n4=30.0))
    paced(script)
    _, rows, _ = run(script, "num-workers=0..8,amp", budget_s=50.0, cpus=4)
    assert {value for name, value in script.ran if name == "num_workers"} == {4}
    assert "num-workers=4 stands for all of them" in rows["num-workers=2"].reason


def test_a_setting_that_was_searched_is_not_told_as_skipped(tmp_path, paced):
    script = MadeUpScript(tmp_path, workers(n1=30.0))
    clock = paced(script)
    plain = script.run

    def then_slow(*args, **kwargs):
        ended = plain(*args, **kwargs)
        if len(script.ran) == 2:
            clock.now += 1000.0
        return ended

    script.run = then_slow
    _, rows, _ = run(script, "num-workers=0..1,amp", budget_s=200.0)
    assert rows["num-workers=1"].status is Status.MEASURED
    assert rows["num-workers=1"].notes == (
        "one run of the search",
        "the budget ended before its rounds",
    )
    assert rows["amp"].reason.startswith("the budget has time for 1 of the settings")


def test_no_more_workers_are_searched_than_twice_the_cpus(tmp_path):
    script = MadeUpScript(tmp_path, workers(n1=11.0, n2=12.0, n4=13.0, n8=14.0))
    _, rows, _ = run(script, "num-workers=0..8", cpus=2)
    assert ("num_workers", 4) in script.ran and ("num_workers", 8) not in script.ran
    assert rows["num-workers=8"].reason == "more than 2 workers for each CPU (2 CPUs here)"


def test_the_one_number_of_workers_that_was_asked_for_is_run_however_large(tmp_path):
    script = MadeUpScript(tmp_path, [])
    run(script, "num-workers=8", cpus=1)
    assert ("num_workers", 8) in script.ran


def test_rounds_that_end_because_nothing_applies_are_not_laid_to_the_budget(tmp_path):
    script = MadeUpScript(tmp_path, [({"amp": True}, "RuntimeError: no bfloat16")])
    report, _, _ = run(script, "amp")
    assert not any("budget" in note for note in report.notes)


def test_a_script_without_enough_steps_is_an_error_that_says_how_many(tmp_path):
    script = MadeUpScript(tmp_path, [], step_seconds=[], steps=3, how="finished")
    with pytest.raises(GpuDoctorError, match="too few optimizer steps to measure: 3"):
        run(script, "amp")


def test_a_run_that_differs_from_itself_is_asked_for_its_seed(tmp_path):
    script = MadeUpScript(tmp_path, [])
    plain = script.run

    def unseeded(*args, **kwargs):
        ended = plain(*args, **kwargs)
        ended.result["losses"] = [1.0, 0.5 + 0.01 * len(script.ran)]
        return ended

    script.run = unseeded
    _, rows, _ = run(script, "amp")
    assert "is a seed missing?" in rows["unchanged"].notes[0]


def test_a_budget_that_allowed_no_claim_says_what_would_have_been_enough(tmp_path, paced):
    script = MadeUpScript(tmp_path, [])
    paced(script, 20.0)
    report, _, _ = run(script, "amp", budget_s=50.0)
    assert any("takes about 2m 20s here" in note for note in report.notes)
    report, _, _ = run(script, "amp", budget_s=500.0)
    assert not any("takes about" in note for note in report.notes)


def test_a_busy_machine_is_told():
    assert "load 9.0 on 2 CPUs" in next(whatif.busy(9.0, 2))
    assert not list(whatif.busy(1.5, 2))
