"""The simulated driver, asked through nvidia-ml-py itself."""

from __future__ import annotations

import pynvml
import pytest

from tests.nvml_sim.fixtures import SimDriver


@pytest.fixture
def opened(nvml_sim: SimDriver) -> SimDriver:
    """The driver, with the library opened in this process."""
    pynvml.nvmlInit()
    return nvml_sim


def handle(index: int = 0):
    return pynvml.nvmlDeviceGetHandleByIndex(index)
