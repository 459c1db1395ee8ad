"""Versions, and the tables of what fits what."""

from __future__ import annotations

import pytest

from gpudoctor.checks.versions import (
    builds_with,
    cuda_builds_for,
    least_driver,
    minor,
    table,
    version,
    wheel_index,
)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("580.95.05", (580, 95, 5)),
        ("2.8.0+cu128", (2, 8, 0)),
        ("2.14.0.dev20260901", (2, 14, 0)),
        ("13", (13,)),
        ("", ()),
        (None, ()),
        ("unknown", ()),
    ],
)
def test_the_numbers_at_the_front_are_the_version(written, parts):
    assert version(written) == parts


def test_minor_cuts_after_the_second_number():
    assert minor("12.8.90") == (12, 8)


@pytest.mark.parametrize(
    ("cuda", "driver"), [("13.0", "580"), ("12.8", "525.60.13"), ("9.0", None)]
)
def test_each_major_cuda_has_its_least_driver(cuda, driver):
    assert least_driver(cuda) == driver


def test_an_old_driver_runs_only_old_builds():
    assert all(build[0] == 12 for build in cuda_builds_for("550.54.14"))
    assert cuda_builds_for("470.82.01") == []
    assert cuda_builds_for("580.95.05")[0][0] == 13
    assert cuda_builds_for(None)


def test_each_generation_has_its_builds():
    assert builds_with((6, 1)) == [(12, 6)]
    assert (12, 6) not in builds_with((12, 0))
    assert (13, 0) in builds_with((8, 9))
    assert (12, 9) not in builds_with((7, 5), "aarch64")


def test_the_index_of_wheels_is_named_by_the_cuda_version():
    assert wheel_index((12, 6)) == "https://download.pytorch.org/whl/cu126"


@pytest.mark.parametrize("name", ["driver", "torch"])
def test_every_table_names_its_sources(name):
    assert all(source.startswith("https://") for source in table(name)["sources"])
