"""A real Alertmanager on a free port, for tests."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@dataclass
class Alertmanager:
    """Its address, and what it was told."""

    url: str

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The active alerts by their names."""
        with urllib.request.urlopen(f"{self.url}api/v2/alerts", timeout=5) as answer:
            return {one["labels"]["alertname"]: one for one in json.load(answer)}

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}-/ready", timeout=5).close()
        except OSError:
            return False
        return True


@contextmanager
def running(folder: Path) -> Iterator[Alertmanager]:
    """An Alertmanager that keeps its data in `folder` and tells nobody."""
    (folder / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [
        f"--config.file={folder}/am.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    assert PROGRAM is not None
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *options], stdout=log, stderr=log)
    made = Alertmanager(f"http://127.0.0.1:{port}/")
    try:
        until = time.monotonic() + 30
        while not made.answers():
            assert time.monotonic() < until, (folder / "alertmanager.log").read_text()
            time.sleep(0.1)
        yield made
    finally:
        process.kill()
        process.wait(10)
