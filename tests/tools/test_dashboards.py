"""The dashboards as files: made anew they are the same, and they name only what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpudoctor.render.metrics.runs import RUN_GROUPS
from gpudoctor.render.metrics.table import METRICS
from tools.dashboards.__main__ import FOLDER, texts

ALERTS = FOLDER.parent / "alerts"
FILES = sorted(FOLDER.glob("*.json"))
KNOWN = (*METRICS, *(metric for group in RUN_GROUPS for metric in group.metrics))
NAMES = {metric.name for metric in KNOWN}
LABELS = {label for metric in KNOWN for label in metric.labels} | {"instance"}


def read(path: Path):
    return json.loads(path.read_text())


def queries(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_the_files_are_those_that_the_tool_makes():
    assert {path.name: path.read_text() for path in FILES} == texts(), (
        "run: python -m tools.dashboards"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_metric_of_a_dashboard_is_in_the_table(path):
    for expr in queries(read(path)):
        named = set(re.findall(r"\b(?:gpudoctor|process)_\w+|\bALERTS\b", expr))
        assert named, expr
        # The last is what Prometheus itself tells of the rules.
        assert named <= NAMES | {"ALERTS"}, expr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variable_that_is_used_is_defined(path):
    dashboard = read(path)
    defined = {item["name"] for item in dashboard["templating"]["list"]}
    builtin = {"__rate_interval", "__range", "__data"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert used <= defined | builtin
    assert defined <= used


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_legends_name_labels_that_exist(path):
    used = set(re.findall(r"\{\{(\w+)\}\}", path.read_text()))
    assert used <= LABELS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_have_ids_and_places_of_their_own(path):
    panels = read(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_has_a_unit_and_every_stat_a_word_for_nothing(path):
    for panel in read(path)["panels"]:
        if panel["type"] in ("timeseries", "stat"):
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        if panel["type"] in ("table", "stat"):
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_links_lead_to_dashboards_that_exist():
    known = {read(path)["uid"] for path in FILES}
    linked = set(re.findall(r"/d/([\w-]+)", "".join(path.read_text() for path in FILES)))
    assert linked
    assert linked <= known


def test_every_alert_is_tested_firing_and_quiet_and_has_its_texts():
    rules = (ALERTS / "gpudoctor.yml").read_text()
    tests = (ALERTS / "gpudoctor_test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n\n|      - alert|\Z)", rules, re.DOTALL)
    assert len(alerts) > 10
    for name, body in alerts:
        assert re.search(rf"alertname: {name}\n +exp_alerts:\n", tests), name
        assert re.search(rf"alertname: {name}\n +exp_alerts: \[\]", tests), name
        for word in ("severity:", "summary:", "description:"):
            assert word in body, name


def test_the_rules_name_only_metrics_of_the_table():
    rules = (ALERTS / "gpudoctor.yml").read_text()
    exprs = "\n".join(
        re.findall(r"expr: (.*?)(?=\n +(?:for|labels|- record|- alert):?|\Z)", rules, re.DOTALL)
    )
    named = set(re.findall(r"(?<![\w:])gpudoctor_\w+", exprs))
    assert len(named) > 15
    assert named <= NAMES


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts/gpudoctor.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts/gpudoctor_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments):
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER.parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
