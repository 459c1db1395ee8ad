"""A scrape of `gpudoctor serve` against nvitop-exporter, both on the same simulated driver.

Eight H100 with 64 processes. The processes are real ones, since both programs look them up in /proc.
nvitop-exporter is installed into a virtual environment of its own, in a temporary folder.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.common import BIN, machine, write
from tests.nvml_sim.build import build
from tests.nvml_sim.presets import eight_h100

SCRAPES = 300
ROUNDS = 5
WATCHED_S = 90.0
PROCESSES = 64
INTERVAL_S = 1.0
AIM = 0.5  # times nvitop-exporter


@dataclass(frozen=True)
class Cost:
    """One exporter. Times in seconds, CPU as a share of one core, memory in bytes."""

    name: str
    scrape_median_s: float
    scrape_p99_s: float
    cpu_idle_ratio: float
    cpu_scraped_ratio: float
    resident_bytes: int
    body_bytes: int
    series: int


@dataclass(frozen=True)
class Exporter:
    """A running exporter."""

    name: str
    process: psutil.Process
    port: int


def main() -> None:
    """Measure and write results/scrape.json."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = stack.enter_context(_machine(folder))
        peer = _peer(folder)
        exporters = [
            stack.enter_context(_running(name, command, port, env))
            for name, command, port in _commands(peer, folder)
        ]
        costs = _measure(exporters)
    ratios = _ratios(costs)
    _show(costs, ratios)
    write(
        "scrape",
        {
            "title": f"A scrape of 8 GPUs and {PROCESSES} processes, sampled every {INTERVAL_S:g} s",
            **machine(),
            "aim": f"at most {AIM:g}x nvitop-exporter",
            "costs": [asdict(cost) for cost in costs],
            "ratios": ratios,
        },
    )


@contextmanager
def _machine(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a program that sees the simulated GPUs with real processes on them."""
    sleepers = [subprocess.Popen(["sleep", "3600"]) for _ in range(PROCESSES)]
    try:
        simulated = eight_h100(pids=[sleeper.pid for sleeper in sleepers])
        for gpu in simulated.gpus:  # so many processes hold more than there is
            for process in gpu.processes:
                process.memory = 2**30
        simulated.write(folder / "state")
        search = [str(build()), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        yield {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(search),
            "GPUDOCTOR_NVML_SIM_STATE": str(folder / "state"),
        }
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def _peer(folder: Path) -> Path:
    venv.create(folder / "peer", with_pip=True)
    bin_folder = folder / "peer" / "bin"
    subprocess.run(
        [bin_folder / "python", "-m", "pip", "install", "--quiet", "nvitop-exporter==1.7.2"],
        check=True,
    )
    return bin_folder / "nvitop-exporter"


def _commands(peer: Path, folder: Path) -> list[tuple[str, list[str], int]]:
    first, second, third = _ports(3)
    serve = [str(BIN / "gpudoctor"), "serve", "--interval", f"{INTERVAL_S:g}", "--listen"]
    # With all that it does by default: checks and orphans each minute, and the flight recorder.
    recorded = ["--history", str(folder / "first.sqlite3")]
    rest = ["--history", str(folder / "second.sqlite3")]
    theirs = [str(peer), "--interval", f"{INTERVAL_S:g}", "--bind-address", "127.0.0.1", "--port"]
    return [
        ("nvitop-exporter", [*theirs, str(first)], first),
        ("gpudoctor serve", [*serve, f"127.0.0.1:{second}", *recorded], second),
        (
            f"the same, --processes {PROCESSES}",
            [*serve, f"127.0.0.1:{third}", *rest, "--processes", str(PROCESSES)],
            third,
        ),
    ]


def _ports(amount: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(amount)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@contextmanager
def _running(
    name: str, command: Sequence[str], port: int, env: dict[str, str]
) -> Iterator[Exporter]:
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    if b"temperature" in _scrape(port):
                        break
                except OSError:
                    pass
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.1)
            yield Exporter(name, psutil.Process(process.pid), port)
        finally:
            process.terminate()


def _scrape(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


def _measure(exporters: Sequence[Exporter]) -> list[Cost]:
    times: dict[str, list[float]] = {exporter.name: [] for exporter in exporters}
    time.sleep(5)
    for _ in range(ROUNDS):
        for exporter in exporters:
            for _ in range(SCRAPES // ROUNDS):
                begun = time.perf_counter()
                _scrape(exporter.port)
                times[exporter.name].append(time.perf_counter() - begun)
                # Not in step with the sampling: a body that is made anew counts as often as it comes.
                time.sleep(0.037)
    idle = _cpu(exporters, scraped_every_s=None)
    scraped = _cpu(exporters, scraped_every_s=5.0)
    costs = []
    for exporter in exporters:
        body = _scrape(exporter.port)
        spent = sorted(times[exporter.name])
        costs.append(
            Cost(
                exporter.name,
                statistics.median(spent),
                spent[int(len(spent) * 0.99)],
                idle[exporter.name],
                scraped[exporter.name],
                exporter.process.memory_info().rss,
                len(body),
                sum(1 for line in body.splitlines() if not line.startswith(b"#")),
            )
        )
    return costs


def _cpu(exporters: Sequence[Exporter], *, scraped_every_s: float | None) -> dict[str, float]:
    """The share of one core that each used over the same stretch of time."""

    def used(exporter: Exporter) -> float:
        spent = exporter.process.cpu_times()
        return float(spent.user + spent.system)

    before = {exporter.name: used(exporter) for exporter in exporters}
    begun = time.monotonic()
    while time.monotonic() - begun < WATCHED_S:
        if scraped_every_s is not None:
            for exporter in exporters:
                _scrape(exporter.port)
        time.sleep(scraped_every_s or WATCHED_S)
    passed = time.monotonic() - begun
    return {
        exporter.name: (used(exporter) - before[exporter.name]) / passed for exporter in exporters
    }


def _ratios(costs: Sequence[Cost]) -> dict[str, dict[str, float]]:
    first = asdict(costs[0])
    return {
        cost.name: {
            key: value / first[key]
            for key, value in asdict(cost).items()
            if isinstance(value, float | int) and first[key]
        }
        for cost in costs
    }


def _show(costs: Sequence[Cost], ratios: dict[str, dict[str, float]]) -> None:
    print(
        f"\n{'':33} {'scrape ms':>10} {'p99':>6} {'CPU':>6} {'scraped':>8} {'RSS MB':>7} {'series':>7}"
    )
    for cost in costs:
        ratio = ratios[cost.name]
        print(
            f"  {cost.name:31} {cost.scrape_median_s * 1e3:10.2f} {cost.scrape_p99_s * 1e3:6.1f}"
            f" {cost.cpu_idle_ratio:6.2%} {cost.cpu_scraped_ratio:8.2%}"
            f" {cost.resident_bytes / 1e6:7.1f} {cost.series:7}"
        )
        print(
            f"  {'':31} {ratio['scrape_median_s']:9.2f}x {ratio['scrape_p99_s']:5.2f}x"
            f" {ratio['cpu_idle_ratio']:5.2f}x {ratio['cpu_scraped_ratio']:7.2f}x"
            f" {ratio['resident_bytes']:6.2f}x {ratio['series']:6.2f}x"
        )


if __name__ == "__main__":
    sys.exit(main())
