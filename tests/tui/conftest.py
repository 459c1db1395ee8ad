from __future__ import annotations

import time

import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import GIB, device, process, snapshot
from tests.tui.feeds import ScriptedFeed


@pytest.fixture
def feed():
    return ScriptedFeed(
        snapshot(
            device(0),
            device(1),
            processes=(
                process(100, used=10 * GIB, user="ana"),
                process(200, index=1, used=30 * GIB, user="ben", command=("python", "serve.py")),
                process(300, index=1, used=20 * GIB, user="cho", command=("bash",)),
            ),
        )
    )


@pytest.fixture
def app(feed):
    return GpuDoctorApp(feed)


@pytest.fixture
def on_driver():
    """Applications on the driver that is found, five looks in a second."""
    samplers = []

    def start():
        sampler = Sampler(open_nvml(), LocalHost(), interval_s=0.2)
        sampler.start()
        samplers.append(sampler)
        return GpuDoctorApp(sampler)

    yield start
    for sampler in samplers:
        sampler.stop()


@pytest.fixture(autouse=True)
def _same_clock_and_colours_everywhere(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    # With few colours the cursor looks different.
    monkeypatch.setenv("COLORTERM", "truecolor")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
