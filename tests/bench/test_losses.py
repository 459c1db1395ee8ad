"""Whether a changed run learns as the unchanged one does."""

import math

from gpudoctor.bench.losses import compare, deviation, scatter
from gpudoctor.model.bench import Trajectory


def test_the_same_bits_are_equal():
    assert compare([[1.0, 0.5]], [[1.0, 0.5], [1.0, 0.5]]) == (Trajectory.EQUAL, 0.0)


def test_a_rounding_difference_is_close_and_another_training_is_not():
    assert compare([[1.0, 0.501]], [[1.0, 0.5]])[0] is Trajectory.CLOSE
    assert compare([[1.0, 0.9]], [[1.0, 0.5]])[0] is Trajectory.DIVERGED


def test_a_run_that_ends_in_nan_has_diverged():
    assert compare([[1.0, math.nan]], [[1.0, 0.5]])[0] is Trajectory.DIVERGED
    assert deviation([math.nan], [math.nan]) == 0.0


def test_an_unseeded_script_is_measured_by_its_own_scatter():
    unchanged = [[1.0, 0.5], [1.1, 0.6]]
    assert scatter(unchanged) > 0.1
    assert compare([[1.05, 0.55]], unchanged)[0] is Trajectory.CLOSE


def test_without_losses_nothing_is_said():
    assert compare([[None, None]], [[1.0, 2.0]]) == (None, None)
    assert compare([[1.0]], []) == (None, None)
    assert scatter([[1.0]]) is None
