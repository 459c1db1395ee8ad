"""How `bench cudnn` plans its rounds, with processes whose times are made up."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gpudoctor.bench import cudnn
from gpudoctor.bench.children import Ended
from gpudoctor.errors import GpuDoctorError

FACTS = {
    "device": "cpu", "cuda_available": False, "device_name": None, "python": "3.11", "torch": "2",
    "cuda": None, "cudnn": None, "hip": None, "driver": None, "threads": 2,
    "networks": ["resnet50", "conv1d"],
}  # fmt: skip


class MadeUpTorch:
    """Stands for the launcher; each process takes `seconds` of the clock that it moves."""

    def __init__(self, clock, seconds, facts, wild=False):
        self.python, self.folder = "python", Path("scratch")
        self.ran = []
        self._wild = wild
        self._clock, self._seconds, self._facts = clock, seconds, facts

    def run(self, part, options, *, timeout_s, environ=None):
        if options.get("facts"):
            return Ended(0, self._facts, "", False, 0.0)
        self.ran.append(options)
        self._clock.now += self._seconds
        step = 0.1 + (0.05 if self._wild else 0.001) * (len(self.ran) % 3)
        result = {
            "warmup_seconds": [step] * 3, "step_seconds": [step] * 5, "peak_memory_bytes": 1,
            "operators": [],
        }  # fmt: skip
        return Ended(0, result, "", False, self._seconds)


@pytest.fixture
def measure(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cudnn.time, "monotonic", lambda: clock.now)

    def measured(seconds=4.0, facts=FACTS, wild=False, **plan):
        lines = []
        script = MadeUpTorch(clock, seconds, facts, wild)
        report = cudnn.run(cudnn.Plan(**plan), script, lines.append)
        return report, script, lines

    return measured


def test_without_cuda_the_smallest_network_runs_and_it_is_said_before(measure):
    _, script, lines = measure()
    assert {options["model"] for options in script.ran} == {"conv1d"}
    assert lines[0].startswith("cuDNN is not there: comparing default with use_deterministic")
    assert "2m" in lines[0] and "round" in lines[1]


def test_with_cuda_the_default_is_the_large_network(measure):
    facts = {**FACTS, "device": "cuda:0", "cuda_available": True}
    _, script, lines = measure(facts=facts)
    assert {(one["model"], one["steps"]) for one in script.ran} == {("resnet50", 20)}
    assert lines[0].startswith("comparing default, benchmark")


def test_more_rounds_are_run_where_the_timings_scatter_and_none_where_they_are_steady(measure):
    _, script, _ = measure(rounds=5, grow=True, budget_s=1000.0)
    assert len(script.ran) == 10
    report, script, lines = measure(rounds=5, grow=True, budget_s=1000.0, wild=True)
    assert 10 < len(script.ran) <= 30
    assert any("round 6 of" in line for line in lines)
    assert any("scattered" in note for note in report.notes)


def test_the_time_that_is_left_is_told_from_the_second_round_on(measure):
    _, _, lines = measure()
    assert not any("left" in line for line in lines[:3])
    assert lines[3].endswith("round 2 of 5, use_deterministic_algorithms, about 32.0 s left")
    assert lines[-1].endswith("about 4.00 s left")


def test_a_round_that_would_not_have_fitted_is_told_as_such(measure):
    report, script, _ = measure(seconds=20.0, budget_s=100.0)
    assert len(script.ran) == 4
    assert "2 of 5 rounds were run; another would not have fitted" in report.notes[-1]


def test_all_rounds_leave_no_note_about_the_budget(measure):
    report, _, _ = measure()
    assert not any("budget" in note for note in report.notes)


def test_a_mode_of_cudnn_alone_is_refused_without_it(measure):
    with pytest.raises(GpuDoctorError, match="benchmark would change nothing on the CPU"):
        measure(modes=("benchmark",))
