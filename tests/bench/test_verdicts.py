"""The verdict says what the intervals allow, and no more."""

import pytest

from gpudoctor.bench.verdicts import of_modes, of_script, speed
from gpudoctor.model.bench import BenchResult, Equality, Operator, Ratio, Status


def ratio(value, low, high):
    return Ratio(value, low, high, 5, 0.95)


def row(setting, speedup=None, **more):
    return BenchResult("main.py", setting, False, Status.MEASURED, speedup=speedup, **more)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ratio(1.21, 1.19, 1.23), "is 1.21× as fast [1.19–1.23]"),
        (ratio(0.8, 0.78, 0.82), "costs 25 % [0.78–0.82]"),
        (ratio(1.01, 0.97, 1.05), "shows no difference in speed [0.97–1.05]"),
        (
            ratio(1.2, 0.8, 1.8),
            "cannot be told apart in speed: the timings scatter too much [0.80–1.80]",
        ),
        (ratio(1.005, 1.003, 1.007), "shows no difference in speed [1.00–1.01]"),
        (None, "had too few rounds for a claim"),
    ],
)
def test_a_ratio_is_put_into_words_with_its_interval(given, said):
    assert speed(given) == said


def test_the_best_gain_stands_first_and_the_others_are_named():
    rows = [
        row("a", ratio(1.1, 1.05, 1.15)),
        row("b", ratio(2.0, 1.9, 2.1)),
        row("c", ratio(1, 0.9, 1.1)),
    ]
    assert of_script("main.py", rows) == (
        "main.py: b is 2.00× as fast [1.90–2.10]; also faster, each alone: a 1.10×."
    )


def test_doubt_about_noisy_timings_is_said():
    rows = [row("a", ratio(1.0, 0.97, 1.03)), row("b", ratio(1.1, 0.5, 2.4))]
    assert of_script("main.py", rows) == (
        "main.py: nothing is gained, as far as can be shown, by a, b "
        "(the timings of b scatter too much to tell)."
    )


def test_an_operator_is_told_once_with_its_line():
    operators = (Operator("put_", "main.py:3"),)
    rows = [row("deterministic", operators=operators)]
    assert of_script("main.py", rows).endswith("without a deterministic version: put_ (main.py:3).")


def test_doubt_about_the_speed_and_the_bits_are_two_sentences():
    same = Equality(3, True, True, True)
    rows = [
        row("default", equality=same),
        row("a", ratio(0.3, 0.03, 2.32), equality=same),
        row("b", ratio(1.2, 1.1, 1.3), equality=same, payback_steps=9),
    ]
    assert of_modes("conv1d", rows) == (
        "conv1d: default is bitwise reproducible. a cannot be told apart in speed: the timings "
        "scatter too much [0.03–2.32]. It is bitwise reproducible. b is 1.20× as fast [1.10–1.30], "
        "pays back after 9 steps and is bitwise reproducible."
    )
