"""The fixture `nvml_sim`: a simulated driver for this process and for those that a test starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pynvml
import pytest

from tests.libraries import NoCompilerError
from tests.nvml_sim.build import SONAME, build
from tests.nvml_sim.machine import SimMachine
from tests.nvml_sim.presets import eight_h100


@cache
def _library() -> ctypes.CDLL:
    """Our library, loaded under the name by which pynvml and others ask for the driver's."""
    return ctypes.CDLL(str(build() / SONAME), mode=ctypes.RTLD_GLOBAL)


@dataclass
class SimDriver:
    """A simulated driver. Change `machine` and save; give `env` to programs that are to see it."""

    machine: SimMachine
    library: Path
    state: Path

    def use(self, machine: SimMachine) -> SimMachine:
        """Another machine from now on."""
        self.machine = machine
        machine.write(self.state)
        return machine

    def save(self) -> None:
        self.machine.save()

    @property
    def env(self) -> dict[str, str]:
        """The environment of a program that runs on this machine."""
        return self.env_for(self.library)

    def env_without(self, *functions: str) -> dict[str, str]:
        """The same with an older driver that lacks these functions."""
        return self.env_for(build(functions))

    def env_for(self, library: Path) -> dict[str, str]:
        search = [str(library), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(search),
            "GPUDOCTOR_NVML_SIM_STATE": str(self.state),
        }

    def calls(self, function: str) -> int:
        """How often this process called a function since the test began."""
        count = _library().gpudoctor_sim_calls
        count.restype = ctypes.c_ulong
        return int(count(function.encode()))


def _shut_down() -> None:
    with contextlib.suppress(pynvml.NVMLError):
        for _ in range(_library().gpudoctor_sim_users()):
            pynvml.nvmlShutdown()
    while _library().gpudoctor_sim_users():  # opened by another way than pynvml
        _library().nvmlShutdown()


@pytest.fixture
def nvml_sim(tmp_path: Path) -> Iterator[SimDriver]:
    """Eight H100 with twelve processes, or what a test puts in their place with `use`."""
    try:
        library = build()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    sim = SimDriver(eight_h100(), library, tmp_path / "nvml-sim-state")
    sim.machine.write(sim.state)
    _library().gpudoctor_sim_set_state(str(sim.state).encode())
    _library().gpudoctor_sim_forget_calls()
    yield sim
    sim.machine.clear_faults()
    _shut_down()
    _library().gpudoctor_sim_set_state(b"")
