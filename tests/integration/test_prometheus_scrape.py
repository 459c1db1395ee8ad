"""A real Prometheus scrapes the real daemon, and every query of every dashboard is asked of it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpudoctor.cli.fleet import source_of
from gpudoctor.history.prometheus import Prometheus as Server
from gpudoctor.history.recording import RecordingWriter
from gpudoctor.render.metrics_file import write_bench, write_profile
from tests.builders import AT
from tests.cli.serving import serving
from tests.integration.terminal import GPUDOCTOR, Terminal
from tests.render.test_metrics_file import bench_report, full_profile
from tests.rich import rich_snapshot

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]
ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
# Of the interpreters here, which a machine that is played does not have.
LIVE_ONLY = "gpudoctor_environment_info"
VARIABLES = {
    "__rate_interval": "5s",
    "__range": "1m",
    "instance": ".*",
    "gpu": ".*",
    "idle": "3s",
    "price": "0.30",
}


@dataclass
class Prometheus:
    url: str

    def ask(self, path, **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error

    def value(self, expr):
        return self.ask("/api/v1/query", query=expr)["result"]

    def wait_for(self, expr, seconds=60):
        until = time.monotonic() + seconds
        while not (found := self.value(expr)):
            assert time.monotonic() < until, f"no value came for {expr}"
            time.sleep(0.2)
        return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def recorded(path):
    """A recording of the machine on which every kind of trouble shows."""
    writer = RecordingWriter(path, interval_s=1.0, started_at=AT)
    writer.add(rich_snapshot())
    writer.close()
    return str(path)


@contextlib.contextmanager
def runs_served(folder):
    """What a profile and a benchmark left for node_exporter, served as it would; gives the address."""
    write_profile(folder / "profile.prom", full_profile())
    write_bench(folder / "bench.prom", bench_report(), time.time())
    both = (folder / "profile.prom").read_bytes() + (folder / "bench.prom").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(both)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def started(folder, targets, node):
    """Prometheus with our rules; the caller ends it."""
    hosts = [target.removeprefix("http://").rstrip("/") for target in targets]
    return begun(
        folder,
        f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{ROOT}/grafana/alerts/gpudoctor.yml]
scrape_configs:
  - job_name: gpudoctor
    static_configs: [{{targets: {json.dumps(hosts)}}}]
  - job_name: node
    static_configs: [{{targets: ["{node}"]}}]
""",
    )


def begun(folder, config):
    """Prometheus with this configuration; the caller ends it."""
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    return process, Prometheus(f"http://127.0.0.1:{port}")


def wait_until_it_answers(prometheus, folder):
    until = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{prometheus.url}/-/ready", timeout=10).close()
        except OSError:  # among them HTTP 503, as long as it starts
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    options = ("--interval", "0.5", "--processes", "20", "--inspect", "2")
    replay = ("--replay", recorded(folder / "rich.jsonl"))
    settings = folder / "config.toml"
    settings.write_text('[notify]\ncommand = ["true"]\n')
    told = {"GPUDOCTOR_CONFIG": str(settings)}
    with (
        serving(*options, env=told) as demo,
        serving(*options, root=replay) as rich,
        runs_served(folder) as node,
    ):
        process, found = started(folder, [demo.url, rich.url], node)
        try:
            wait_until_it_answers(found, folder)
            # The demo's Xid comes eight seconds after its start; by then rates have their samples.
            found.wait_for('gpudoctor_gpu_xid_errors_total{xid="13"}')
            found.wait_for("count(gpudoctor_inspection_timestamp_seconds) == 2")
            found.wait_for("count_over_time(gpudoctor_sampling_up[30s]) >= 6")
            found.wait_for('ALERTS{alertstate="firing"}')
            yield found
        finally:
            process.terminate()
            process.wait(10)


def substituted(expr):
    for name, value in VARIABLES.items():
        expr = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, expr)
    assert "$" not in expr, expr
    return expr


def expressions(path):
    dashboard = json.loads(path.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], substituted(target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], substituted(annotation["expr"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_returns_a_value(prometheus, path):
    asked = list(expressions(path))
    assert len(asked) > 10
    empty = [
        (title, expr)
        for title, expr in asked
        if not prometheus.value(expr) and not expr.startswith(LIVE_ONLY)
    ]
    assert empty == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_of_a_dashboard_has_values(prometheus, path):
    for variable in json.loads(path.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            inner = re.fullmatch(r"(?:label_values|query_result)\((.*?)(?:, (\w+))?\)", query)
            found = prometheus.value(substituted(inner[1]))
            assert found
            assert inner[2] is None or all(inner[2] in row["metric"] for row in found)


def test_a_machine_that_was_seen_and_is_silent_counts_as_not_answering(prometheus):
    panels = json.loads((ROOT / "grafana" / "dashboards" / "gpudoctor-fleet.json").read_text())
    silent = next(one for one in panels["panels"] if one["title"] == "Silent")
    expr = substituted(silent["targets"][0]["expr"])
    assert prometheus.value(expr)[0]["value"][1] == "0"
    # As if none were scraped any more, and only the day's values were left.
    gone = expr.replace("(gpudoctor_sampling_up{", "(gpudoctor_sampling_up{job='none',", 1)
    assert prometheus.value(gone)[0]["value"][1] == "2"


def test_nothing_of_a_scrape_is_dropped_or_late(prometheus):
    # Not at every moment: on a busy machine a scrape may take longer than this test's second.
    prometheus.wait_for('sum(up{job="gpudoctor"}) == 2')
    prometheus.wait_for('min(scrape_samples_scraped{job="gpudoctor"}) > 100')
    rows = prometheus.value("scrape_samples_scraped - scrape_samples_post_metric_relabeling")
    assert {row["value"][1] for row in rows} == {"0"}


def test_the_rules_run_and_the_sick_machine_raises_its_alerts(prometheus):
    prometheus.wait_for('ALERTS{alertname="GpuRecoveryRecommended", alertstate="firing"}')
    prometheus.wait_for('ALERTS{alertname="GpuXidNeedsReset", xid="79", alertstate="firing"}')
    prometheus.wait_for('ALERTS{alertname="GpuNotAnswering"}')
    prometheus.wait_for("instance:gpudoctor_gpu_memory_used:ratio > 0")
    rules = [rule for group in prometheus.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    assert not [rule for rule in rules if rule["health"] != "ok"]


def test_the_fleet_is_told_with_the_sick_machine_first(prometheus):
    prometheus.wait_for('gpudoctor_orphans{verdict="suspect"} == 1')
    done = subprocess.run(
        [sys.executable, "-m", "gpudoctor", "fleet", "--json", "--idle-for", "3s"],
        env=os.environ | {"GPUDOCTOR_PROMETHEUS": prometheus.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "gpudoctor.fleet/1"
    sick, demo = told["machines"]
    assert (sick["gpus"], sick["gpus_down"], sick["xids"]) == (2, 1, 1)
    assert sick["findings"] >= 1
    assert (demo["gpus"], demo["gpus_down"], demo["gpus_idle"]) == (8, 0, 2)
    assert demo["gpus_free"] == 0
    assert demo["sampling"] is True
    assert 60 <= demo["hottest_celsius"] <= 100
    assert demo["orphans_memory_bytes"] > 20 * 2**30


def test_the_lost_gpu_has_no_readings_in_prometheus(prometheus):
    lost = prometheus.wait_for("gpudoctor_gpu_up == 0")
    assert len(lost) == 1
    uuid = lost[0]["metric"]["uuid"]
    names = {row["metric"]["__name__"] for row in prometheus.value(f'{{uuid="{uuid}"}}')}
    assert {name for name in names if name.startswith("gpudoctor")} <= {
        "gpudoctor_gpu_info",
        "gpudoctor_gpu_up",
        "gpudoctor_gpu_state_info",
        "gpudoctor_gpu_xid_errors_total",
        "gpudoctor_gpu_xid_last_timestamp_seconds",
        "gpudoctor_collector_errors_total",
    }


def test_the_gpus_of_a_machine_are_told_as_it_told_them(prometheus):
    source = source_of(Server(prometheus.url), idle_for="3s")
    by_gpus = {machine.instance: machine.gpus for machine in source.machines().machines}
    demo = next(name for name, gpus in by_gpus.items() if gpus == 8)
    gpus = source.gpus(demo)
    assert [gpu.index for gpu in gpus] == list(range(8))
    assert all(gpu.up and gpu.name and gpu.memory_total_bytes for gpu in gpus)
    assert any(gpu.users and gpu.processes for gpu in gpus)
    assert 13 in {code for gpu in gpus for code in gpu.xids}
    assert source.gpus('no"such\\machine') == ()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_in_a_terminal_the_fleet_is_a_screen_down_to_the_gpus(prometheus):
    with Terminal(GPUDOCTOR, "fleet", "--prometheus", prometheus.url, width=120) as terminal:
        terminal.wait("2 of 2 machines answer")
        terminal.type("s")
        terminal.wait("Sort by")
        terminal.type("Home", "Down", "Enter")
        terminal.wait("MACHINE▲")
        terminal.type("Enter")
        terminal.wait("MEMORY GiB")
        terminal.wait("Xid")
        terminal.type("Escape")
        terminal.wait("2 of 2 machines answer")
        terminal.type("q")
        terminal.wait("left-with-0")
