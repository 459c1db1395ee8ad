"""Every function of the driver that a look uses × the errors that drivers answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pynvml
import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from tests.nvml_sim.presets import eight_h100

FUNCTIONS = sorted(name for name in vars(pynvml) if re.match(r"nvml[A-Z]", name))
# 4711: one that a later driver may have.
CODES = (1, 2, 3, 4, 6, 7, 9, 10, 13, 15, 16, 17, 18, 999, 4711)
# Without these a GPU has no name.
NEEDED = ("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID")
# What is another number in every look.
MOVING = re.compile(r"energy|transmit|receive|seconds|stale_since|nvlink.links$")


def look() -> dict[str, Any]:
    """What one look at the machine finds, as plain values."""
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    try:
        snapshot = sampler.once()
    finally:
        sampler.stop()
    envelope("x/1", {"snapshot": to_builtins(snapshot)})
    return to_builtins(snapshot)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}")
    elif not MOVING.search(name):
        yield name, value


def wrong(found: dict[str, Any], healthy: dict[str, Any]) -> list[str]:
    """What a look shows that is neither the truth, nor missing, nor marked."""
    if not found["devices"]:
        return []
    true = dict(leaves(healthy["devices"][0]))
    made_up = [
        f"{name}: {value!r}, was {true.get(name)!r}"
        for name, value in leaves(found["devices"][0])
        if value == 0 and true.get(name) != 0
    ]
    state = found["devices"][0]["state"]
    if state != "ok" and not found["devices"][0]["error"]:
        made_up.append(f"{state}, and it is not said why")
    return made_up


@pytest.fixture
def two(nvml_sim):
    machine = eight_h100()
    del machine.gpus[2:]
    return nvml_sim.use(machine)


@pytest.fixture
def used(two, nvml_sim):
    """The functions of the library that one look calls."""
    look()
    symbols = {*FUNCTIONS, *(f"{name}{tail}" for name in FUNCTIONS for tail in ("_v2", "_v3"))}
    names = sorted(name for name in symbols if nvml_sim.calls(name))
    assert len(names) > 50
    return [name for name in names if name != "nvmlShutdown"]


@pytest.mark.parametrize("code", CODES)
def test_an_error_of_one_call_makes_up_no_value_and_leaves_the_other_gpu_alone(two, used, code):
    healthy = look()
    uuid = healthy["devices"][0]["facts"]["uuid"]
    failures = []
    for function in used:
        of_gpu = function.startswith("nvmlDevice") and "Count" not in function
        two.clear_faults()
        two.fault(function, code, gpu=0 if of_gpu else None)
        try:
            found = look()
        except NvmlUnavailableError as error:
            assert error.hint
            if of_gpu:
                failures.append(f"{function}: {error}")
            continue
        failures += [f"{function}: {what}" for what in wrong(found, healthy)]
        if of_gpu and code not in (1, 9, 18):  # which say that the driver has gone
            if code != 15 and function not in NEEDED and uuid not in str(found["devices"]):
                failures.append(f"{function}: it took the GPU's name away")
            other = dict(leaves(found["devices"][1]))
            if other != dict(leaves(healthy["devices"][1])):
                failures.append(f"{function}: the other GPU changed")
    assert not failures
