"""From what children wrote to rows and to the verdict."""

import pytest

from gpudoctor.bench.children import Ended
from gpudoctor.bench.rows import Rounds, rows
from gpudoctor.bench.verdicts import of_modes
from gpudoctor.model.bench import Status


def ended(result=None, *, tail="", code=0, timed_out=False):
    return Ended(code, result, tail, timed_out, 1.0)


def run(step, *, warmup=0.0, marks=None, differences=None, **more):
    return {
        "step_seconds": [step] * 4,
        "warmup_seconds": [step + warmup, step],
        "peak_memory_bytes": 1000,
        "operators": [],
        **({"marks": marks, "differences": differences} if marks else {}),
        **more,
    }


def rounds_of(setting, results):
    rounds = Rounds(setting)
    for result in results:
        rounds.add(ended(result))
    return rounds


SAME = {"outputs": 0.0, "gradients": 0.0, "weights": 0.0}


def test_a_faster_mode_has_its_ratio_its_payback_and_its_cost_of_new_shapes():
    plain = rounds_of("default", [run(s, warmup=1.0) for s in (0.100, 0.101, 0.099)])
    fast = rounds_of(
        "benchmark",
        [
            run(s, warmup=1.5, first_shape_seconds=[0.5], known_shape_seconds=[0.1])
            for s in (0.0800, 0.0809, 0.0791)
        ],
    )
    found = list(rows("net", [plain, fast], 1))
    assert found[0].baseline and found[0].speedup is None
    assert found[1].speedup.faster and abs(found[1].speedup.value - 1.25) < 0.01
    # Half a second more of warm-up, 20 ms less a step.
    assert 24 <= found[1].payback_steps <= 26
    assert abs(found[1].new_shape_seconds - 0.4) < 1e-9
    assert "benchmark is 1.25× as fast" in of_modes("net", found)
    assert "pays back after" in of_modes("net", found)


def test_the_first_layer_that_differs_is_named():
    one = [[1, "forward", "conv", 5], [1, "forward", "head", 6]]
    other = [[1, "forward", "conv", 5], [1, "forward", "head", 7]]
    differing = {"outputs": 0.5, "gradients": 0.0, "weights": 0.25}
    runs = [run(0.1, marks=one, differences=None), run(0.1, marks=other, differences=differing)]
    found = next(rows("net", [rounds_of("default", runs)], 1)).equality
    assert not found.bitwise and not found.outputs and found.gradients
    assert (found.difference.layer, found.difference.phase) == ("head", "forward")
    assert found.difference.outputs == 0.5


def test_two_equal_runs_are_bitwise_reproducible_and_one_run_says_nothing():
    marks = [[1, "forward", "conv", 5]]
    first = run(0.1, marks=marks, differences=None)
    second = run(0.1, marks=marks, differences=SAME)
    assert next(rows("net", [rounds_of("default", [first, second])], 1)).equality.bitwise
    assert next(rows("net", [rounds_of("default", [first])], 1)).equality is None


def test_a_child_that_failed_is_a_row_with_its_reason():
    plain = rounds_of("default", [run(0.1)] * 3)
    broken = Rounds("benchmark")
    broken.add(ended({"error": "RuntimeError: out of memory"}, code=1))
    found = list(rows("net", [plain, broken], 1))
    assert found[1].status is Status.FAILED
    assert found[1].reason == "RuntimeError: out of memory"
    assert "failed" in of_modes("net", found)


def test_a_child_without_a_result_is_explained_by_its_last_line():
    silent = Rounds("default")
    silent.add(ended(None, tail="loading\nKilled", code=-9))
    assert silent.failure == "exit code -9: Killed"
    late = Rounds("default")
    late.add(ended(None, timed_out=True))
    assert late.failure == "its time was up: it was ended after 1.00 s"
    kept = Rounds("default")
    kept.runs.append({"step_seconds": [1.0]})
    kept.add(ended(None, timed_out=True))
    assert kept.failure is None and len(kept.runs) == 1


def test_two_rounds_make_no_claim():
    plain, fast = rounds_of("default", [run(0.1)] * 2), rounds_of("benchmark", [run(0.05)] * 2)
    found = list(rows("net", [plain, fast], 1))
    assert found[1].speedup is None
    assert "too few rounds for a claim" in of_modes("net", found)


def test_steps_per_second_of_two_settings_have_the_speedup_as_their_quotient():
    settings = [Rounds("default"), Rounds("benchmark")]
    for rounds, steps in zip(settings, ([0.1, 0.3, 0.2], [0.1, 0.1, 0.4]), strict=True):
        for step in steps:
            result = {
                "step_seconds": [step], "warmup_seconds": [step], "peak_memory_bytes": 1,
                "operators": [],
            }  # fmt: skip
            rounds.add(ended(result))
    plain, changed = rows("x", settings, 1)
    quotient = changed.steps_per_second / plain.steps_per_second
    assert quotient == pytest.approx(changed.speedup.value)
