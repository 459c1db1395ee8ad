"""The dashboards against Grafana's own models, of the release that docker-compose.yml starts."""

from __future__ import annotations

import copy
import json
from importlib.metadata import version

import pytest

from tests.grafana_schema import problems
from tools.dashboards.__main__ import FOLDER

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafanas_models_keep_all_of_a_dashboard_and_find_nothing_of_a_wrong_kind(path):
    assert problems(json.loads(path.read_text())) == []


def test_the_models_are_of_the_grafana_that_is_started():
    release = version("grafana-foundation-sdk").partition("!")[2]
    assert f"grafana/grafana:{release}\n" in (FOLDER.parent / "docker-compose.yml").read_text()


def _first(dashboard, kind):
    return next(panel for panel in dashboard["panels"] if panel["type"] == kind)


BREAKS = {
    "an option that a panel does not have": (
        lambda it: _first(it, "stat")["options"].update(colourMode="value"),
        "colourMode: unknown to Grafana",
    ),
    "a choice that an option does not have": (
        lambda it: _first(it, "stat")["options"].update(colorMode="rainbow"),
        "color_mode: 'rainbow' is no",
    ),
    "a width that is text": (
        lambda it: _first(it, "timeseries")["gridPos"].update(w="12"),
        "w: '12' is no",
    ),
    "a field of the graph's style that does not exist": (
        lambda it: _first(it, "timeseries")["fieldConfig"]["defaults"]["custom"].update(width=2),
        "width: unknown to Grafana",
    ),
    "a query's field that Prometheus' data source does not have": (
        lambda it: _first(it, "timeseries")["targets"][0].update(promql="up"),
        "promql: unknown to Grafana",
    ),
    "a variable whose name is a number": (
        lambda it: it["templating"]["list"][0].update(name=7),
        "name: 7 is no",
    ),
    "a transformation without a name": (
        lambda it: _first(it, "timeseries").update(transformations=[{"id": 3, "options": {}}]),
        "transformations:",
    ),
    "panels that are no list": (lambda it: it.update(panels=3), "not understood"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(name):
    break_it, expected = BREAKS[name]
    dashboard = copy.deepcopy(json.loads((FOLDER / "gpudoctor-machine.json").read_text()))
    break_it(dashboard)
    found = problems(dashboard)
    assert any(expected in one for one in found), found
