from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from gpudoctor.cli.metrics import metrics
from gpudoctor.render.metrics.runs import RUN_GROUPS
from gpudoctor.render.metrics.table import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_of_the_documentation_is_up_to_date():
    done = CliRunner().invoke(metrics, ["--markdown"])
    assert done.output == PAGE.read_text(), (
        "make it: gpudoctor metrics --markdown > docs/metrics.md"
    )


def test_every_metric_is_in_the_json():
    told = json.loads(CliRunner().invoke(metrics, ["--json"]).output)
    assert told["schema"] == "gpudoctor.metrics/1"
    runs = [metric.name for group in RUN_GROUPS for metric in group.metrics]
    names = [metric.name for metric in METRICS] + runs
    assert [row["name"] for row in told["metrics"]] == names
    assert len(set(names)) == len(names)


def test_the_text_names_type_labels_and_meaning():
    text = CliRunner().invoke(metrics).output
    assert "  gpudoctor_gpu_clock_hertz{uuid, clock}  gauge\n      Current clocks.\n" in text
