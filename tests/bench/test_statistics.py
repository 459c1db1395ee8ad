"""What may be claimed from interleaved rounds, tried on made-up timings."""

import math
import random

import pytest

from gpudoctor.bench.statistics import (
    MOST_ROUNDS,
    UNSTEADY,
    payback_steps,
    rounds_wanted,
    speedup,
    student_quantile,
    timing,
)


def rounds_of(rng, ratio, *, rounds=5, process_noise=0.02, drift=0.05, heavy=False):
    """Seconds per step of a baseline and of a setting `ratio` times as fast, round by round."""
    level, pairs = 1.0, []
    for _ in range(rounds):
        pair = []
        for speed in (1.0, ratio):
            level *= math.exp(rng.gauss(0, drift / 10))
            noise = rng.gauss(0, process_noise)
            if heavy and rng.random() < 0.1:
                noise += abs(rng.gauss(0, 0.5))
            pair.append(level * math.exp(noise) / speed)
        level *= math.exp(rng.gauss(drift, drift))
        pairs.append(pair)
    return [before for before, _ in pairs], [after for _, after in pairs]


@pytest.mark.parametrize("rounds", [3, 5, 8])
@pytest.mark.parametrize("noise", [0.001, 0.02, 0.2])
@pytest.mark.parametrize("heavy", [False, True])
def test_no_difference_is_no_claim_in_95_of_100_runs(rounds, noise, heavy):
    rng, runs = random.Random(7), 2000
    quiet = 0
    for _ in range(runs):
        ratio = speedup(*rounds_of(rng, 1.0, rounds=rounds, process_noise=noise, heavy=heavy))
        quiet += not (ratio.faster or ratio.slower)
    # 95 of 100 is the promise; 2000 runs of an exact 95 % interval scatter by half a percent.
    assert quiet / runs >= 0.94


def test_a_report_of_six_settings_that_differ_in_nothing_claims_nothing_in_95_of_100():
    rng, quiet, runs = random.Random(11), 0, 1000
    for _ in range(runs):
        claims = 0
        for _ in range(6):
            ratio = speedup(*rounds_of(rng, 1.0), comparisons=6)
            claims += ratio.faster or ratio.slower
        quiet += claims == 0
    assert quiet / runs >= 0.95


def test_a_difference_of_a_fifth_is_found_under_drift():
    rng = random.Random(3)
    found = sum(speedup(*rounds_of(rng, 1.2)).faster for _ in range(200))
    lost = sum(speedup(*rounds_of(rng, 1 / 1.2)).slower for _ in range(200))
    assert found >= 195 and lost >= 195


def test_the_interval_holds_the_true_ratio_as_often_as_it_says():
    rng = random.Random(5)
    ratios = [speedup(*rounds_of(rng, 1.1, drift=0.0)) for _ in range(2000)]
    held = sum(ratio.low <= 1.1 <= ratio.high for ratio in ratios)
    assert 0.93 <= held / 2000 <= 0.97


def test_a_sure_difference_too_small_to_matter_is_no_claim():
    ratio = speedup([1.0, 1.0, 1.0001, 1.0], [0.995, 0.9951, 0.995, 0.995])
    assert ratio.low > 1
    assert not ratio.faster


def test_two_rounds_are_too_few_for_an_interval():
    assert speedup([1.0, 1.0], [0.5, 0.5]) is None


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 4, 2.776),
        (0.995, 7, 3.499),
        (0.975, 30, 2.042),
    ],
)
def test_quantiles_of_students_t_are_those_of_the_tables(probability, freedom, value):
    assert student_quantile(probability, freedom) == pytest.approx(value, abs=5e-4)


def test_timing_is_the_median_and_the_quartiles_of_all_steps():
    result = timing([[1.0, 2.0], [3.0, 4.0, 5.0]])
    assert (result.median_seconds, result.steps, result.rounds) == (3.0, 5, 2)
    assert (result.lower_quartile_seconds, result.upper_quartile_seconds) == (2.0, 4.0)
    assert timing([]) is None
    assert timing([[2.0]]).upper_quartile_seconds == 2.0


def test_a_longer_warm_up_is_paid_back_by_shorter_steps_only():
    assert payback_steps(1.0, 0.5, 0.25) == 4
    assert payback_steps(-1.0, 0.5, 0.4) == 0
    assert payback_steps(1.0, 0.4, 0.5) is None
    assert payback_steps(None, 0.5, 0.4) is None


@pytest.mark.parametrize("noise", [0.02, 0.08, 0.2])
@pytest.mark.parametrize("heavy", [False, True])
def test_rounds_that_are_added_for_their_scatter_make_no_false_claims(noise, heavy):
    rng, runs, quiet = random.Random(13), 2000, 0
    for _ in range(runs):
        most = rounds_of(rng, 1.0, rounds=MOST_ROUNDS, process_noise=noise, heavy=heavy)
        wanted = rounds_wanted(*(times[:5] for times in most))
        ratio = speedup(*(times[:wanted] for times in most), first=5)
        quiet += not (ratio.faster or ratio.slower)
    assert quiet / runs >= 0.94


def test_steady_timings_want_no_more_rounds_and_wild_ones_no_more_than_the_most():
    steady = rounds_of(random.Random(1), 1.0, process_noise=0.001, drift=0.0)
    wild = rounds_of(random.Random(1), 1.0, process_noise=2.0)
    assert rounds_wanted(*steady) == 5
    assert rounds_wanted(*wild) == MOST_ROUNDS
    assert rounds_wanted([1.0, 1.1], [1.0, 3.0]) == 2


def test_the_rounds_that_are_wanted_make_the_interval_as_narrow_as_it_is_to_be():
    rng = random.Random(17)
    for _ in range(200):
        most = rounds_of(rng, 1.0, rounds=MOST_ROUNDS, process_noise=0.05)
        wanted = rounds_wanted(*(times[:5] for times in most))
        ratio = speedup(*(times[:wanted] for times in most), first=5)
        assert wanted == MOST_ROUNDS or ratio.high <= ratio.low * UNSTEADY * 1.000001
