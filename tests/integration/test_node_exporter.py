"""A real node_exporter carries the metrics that the daemon wrote to a file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.integration.test_prometheus_scrape import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("prometheus-node-exporter") is None, reason="node_exporter is not installed"
    ),
]


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_node_exporter_takes_the_file_and_drops_it_when_the_daemon_ends(tmp_path):
    port = free_port()
    daemon = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gpudoctor",
            "--demo",
            "serve",
            "--interval",
            "0.3",
            "--processes",
            "20",
            "--inspect",
            "1",
            "--textfile",
            str(tmp_path / "gpudoctor.prom"),
        ],
        stderr=subprocess.DEVNULL,
    )
    node = subprocess.Popen(
        [
            "prometheus-node-exporter",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={tmp_path}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        text = ""
        while "gpudoctor_orphans{" not in text:
            assert time.monotonic() < until, text[-2000:]
            time.sleep(0.2)
            try:
                text = scraped(port)
            except OSError:
                assert node.poll() is None
        assert "node_textfile_scrape_error 0" in text
        assert text.count("gpudoctor_gpu_up{") == 8
        assert text.count("# TYPE process_cpu_seconds_total ") == 1
        daemon.terminate()
        assert daemon.wait(10) == 0
        assert "gpudoctor_gpu" not in scraped(port)
    finally:
        for process in (daemon, node):
            process.kill()
            process.wait(10)
