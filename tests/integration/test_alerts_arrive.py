"""A GPU falls off the bus, and Alertmanager tells of it: daemon, Prometheus and our rules are real."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from tests.cli.serving import serving
from tests.daemon import alertmanager
from tests.integration.test_prometheus_scrape import begun, wait_until_it_answers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
    pytest.mark.skipif(alertmanager.PROGRAM is None, reason="alertmanager is not installed"),
]
OURS = Path(__file__).parents[2] / "grafana"


def impatient(path):
    """Our rules, but that nothing has to last; gives their file."""
    rules = yaml.safe_load((OURS / "alerts/gpudoctor.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    path.write_text(yaml.safe_dump(rules))
    return path


def configuration(folder, daemon, taking):
    """Our prometheus.yml with its Alertmanager, these addresses, and shorter times."""
    text = (OURS / "prometheus.yml").read_text()
    before, alerting, after = re.split(r"(# alerting:\n(?:# .*\n)+)", text)
    text = before + re.sub("^# ", "", alerting, flags=re.MULTILINE) + after
    text = text.replace("localhost:9093", taking).replace("localhost:9836", daemon)
    text = text.replace("alerts/gpudoctor.yml", str(impatient(folder / "rules.yml")))
    return text.replace("15s", "1s")


def until(true, seconds=40):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_a_lost_gpu_reaches_alertmanager_in_words_and_goes_when_it_is_back(nvml_sim, tmp_path):
    with (
        alertmanager.running(tmp_path) as taking,
        serving("--interval", "0.2", root=(), env=nvml_sim.env) as daemon,
    ):
        instance = daemon.url.removeprefix("http://").rstrip("/")
        config = configuration(tmp_path, instance, taking.url[len("http://") : -1])
        process, prometheus = begun(tmp_path, config)
        try:
            wait_until_it_answers(prometheus, tmp_path)
            prometheus.wait_for("count(gpudoctor_gpu_up == 1) == 8")
            assert "GpuNotAnswering" not in taking.alerts()
            nvml_sim.machine.lose(5)
            told = until(lambda: taking.alerts().get("GpuNotAnswering"))
            uuid = str(nvml_sim.machine.gpus[5].uuid)
            labels = {
                "job": "gpudoctor",
                "instance": instance,
                "uuid": uuid,
                "severity": "critical",
            }
            assert told["labels"] == {"alertname": "GpuNotAnswering", **labels}
            assert told["annotations"]["summary"] == f"{instance}: {uuid} does not answer."
            assert "fallen off the bus" in told["annotations"]["description"]
            nvml_sim.machine.find(5)
            until(lambda: "GpuNotAnswering" not in taking.alerts())
        finally:
            process.terminate()
            process.wait(10)
