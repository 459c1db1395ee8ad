"""docs/performance.md is what benchmarks/results says, wins and losses."""

from __future__ import annotations

import copy

import pytest

from tools.performance import PAGE, page, results

FOUND = results()


def test_the_page_is_what_was_measured():
    assert PAGE.read_text() == page(FOUND), "make it: python -m tools.performance"


def test_every_measurement_has_a_section_with_its_day_and_versions():
    sections = PAGE.read_text().split("\n## ")[2:]
    assert len(sections) == len(FOUND)
    for result, section in zip(FOUND.values(), sections, strict=True):
        assert result["measured_at"][:10] in section
        assert f"Python {result['python']}" in section
        assert f"gpudoctor {result['versions']['gpudoctor']}" in section


def compared(found) -> list[str]:
    lines = page(found).split("\n## ")[1].splitlines()
    return [line for line in lines if line.startswith("| ") and "×" in line]


def test_a_loss_is_told_in_bold_and_a_win_is_not():
    found = copy.deepcopy({"startup": FOUND["startup"]})
    rows = {row["name"]: row for row in found["startup"]["timings"]}
    rows["gpudoctor --version"].update(wall_median_s=0.3, wall_min_s=0.2, wall_max_s=0.4)
    rows["nvitop --version"]["wall_median_s"] = 0.1
    rows["python -c pass"]["wall_median_s"] = 0.6
    assert compared(found) == [
        "| `--version` | 300 ms | 200 ms – 400 ms | `nvitop --version` | 100 ms | **3.00×** |",
        "| `--version` | 300 ms | 200 ms – 400 ms | `python -c pass` | 600 ms | 0.50× |",
    ]


def test_a_single_round_is_not_compared():
    found = copy.deepcopy({"startup": FOUND["startup"]})
    for row in found["startup"]["timings"]:
        row["rounds"] = 1
    assert compared(found) == []


def test_a_contender_that_is_gone_is_an_error_and_not_a_missing_line():
    found = copy.deepcopy({"startup": FOUND["startup"]})
    rows = found["startup"]["timings"]
    found["startup"]["timings"] = [row for row in rows if row["name"] != "nvitop --version"]
    with pytest.raises(ValueError, match="zip"):
        page(found)


def test_a_measurement_that_is_new_is_shown_with_its_numbers():
    new = {key: FOUND["ps"][key] for key in ("measured_at", "python", "system", "cpus", "versions")}
    text = page({"drift": {**new, "title": "drift over a day", "lag_s": 0.05, "held_bytes": 2.5e6}})
    assert "## Drift over a day" in text
    assert "| lag | 50.0 ms |" in text
    assert "| held bytes | 2.5 MB |" in text
