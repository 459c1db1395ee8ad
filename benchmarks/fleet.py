"""How long a Prometheus takes for the queries of a fleet: 500 simulated machines of eight GPUs."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.common import machine, write
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.prometheus import Prometheus, read_fleet
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.render.metrics.view import Totals, View
from gpudoctor.render.prometheus import exposition

MACHINES = 500
INTERVAL_S = 15
SCRAPED_S = 90.0
ROUNDS = 5
DASHBOARD = Path(__file__).parents[1] / "grafana" / "dashboards" / "gpudoctor-fleet.json"
_VARIABLES = {"instance": ".*", "idle": "1h", "__rate_interval": "1m", "__range": "5m"}


class _Machines(ThreadingHTTPServer):
    """Serves /NUMBER/metrics for every machine."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._timeline = DemoTimeline()
        self._begun = time.monotonic()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def body(self, number: int) -> bytes:
        snapshot = self._timeline.at(time.monotonic() - self._begun + number)
        text = exposition(View(snapshot, True, Totals(1), interval_seconds=5.0))
        # Each machine has GPUs of its own.
        return text.replace(b"5e1f0d0c", b"%08x" % number)


class _Handler(BaseHTTPRequestHandler):
    server: _Machines

    def do_GET(self) -> None:
        body = self.server.body(int(self.path.split("/")[1]))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def main() -> None:
    """Measure and write results/fleet.json."""
    if shutil.which("prometheus") is None:
        raise SystemExit("prometheus is not installed")
    with tempfile.TemporaryDirectory() as name, _Machines() as machines:
        folder = Path(name)
        url, process = _prometheus(folder, machines.server_port)
        try:
            _wait(url)
            time.sleep(SCRAPED_S)
            _measure(url)
        finally:
            process.terminate()
            process.wait(30)
            machines.shutdown()


def _prometheus(folder: Path, port: int) -> tuple[str, subprocess.Popen[bytes]]:
    groups = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"number": str(number)}}
        for number in range(MACHINES)
    ]
    (folder / "targets.json").write_text(json.dumps(groups))
    (folder / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: {INTERVAL_S}s, scrape_timeout: {INTERVAL_S}s}}
scrape_configs:
  - job_name: gpudoctor
    file_sd_configs: [{{files: ["{folder}/targets.json"]}}]
    relabel_configs:
      - {{source_labels: [number], target_label: __metrics_path__, replacement: /$1/metrics}}
      - {{source_labels: [number], target_label: instance, replacement: node-$1}}
      - {{regex: number, action: labeldrop}}
"""
    )
    address = "127.0.0.1:19090"
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    return f"http://{address}", process


def _wait(url: str) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        try:
            if sum(Prometheus(url).by_instance("gpudoctor_sampling_up").values()) == MACHINES:
                return
        except GpuDoctorError:
            pass
        time.sleep(1)
    raise SystemExit("not all machines were scraped")


def _measure(url: str) -> None:
    series = _ask(url, "count({__name__=~'gpudoctor_.+|process_.+'})")
    table = [_seconds(lambda: read_fleet(Prometheus(url))) for _ in range(ROUNDS)]
    queries = {
        expr: statistics.median(_seconds(lambda: _ask(url, expr)) for _ in range(ROUNDS))  # noqa: B023
        for expr in _dashboard()
    }
    slowest = max(queries, key=lambda expr: queries[expr])
    result = {
        "title": f"A fleet of {MACHINES} machines with {MACHINES * 8} GPUs in one Prometheus",
        **machine(),
        "machines": MACHINES,
        "series": int(float(series[0]["value"][1])),
        "fleet_table_s": statistics.median(table),
        "dashboard_queries": len(queries),
        "dashboard_all_s": sum(queries.values()),
        "dashboard_slowest_s": queries[slowest],
        "dashboard_slowest": slowest,
    }
    for key in ("series", "fleet_table_s", "dashboard_all_s", "dashboard_slowest_s"):
        print(f"{key:22} {result[key]:.3f}")
    print(f"slowest: {slowest}")
    write("fleet", result)


def _dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    for name, value in _VARIABLES.items():
        found = [re.sub(rf"\$(?:{name}\b|{{{name}}})", value, expr) for expr in found]
    return list(dict.fromkeys(found))


def _ask(url: str, expr: str) -> list[dict[str, list[str]]]:
    body = urllib.parse.urlencode({"query": expr}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query", data=body, timeout=120) as answer:
        found: list[dict[str, list[str]]] = json.load(answer)["data"]["result"]
        return found


def _seconds(call: object) -> float:
    assert callable(call)
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
