"""GPU memory that grows with the steps, and what else may explain it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.profile import AllocatedGrowth, Growth, TorchDevice, TorchFacts
from gpudoctor.profile.rules.registry import findings
from tests.profile.build import profile

MIB = 1024**2
STEPS = (1, 2, 4, 8, 16, 32, 64)
LEAK = AllocatedGrowth(0, tuple((step, 500 * MIB + step * MIB) for step in STEPS))


def ids(seen):
    return [finding.id for finding in findings(seen)]


def test_memory_that_grows_evenly_is_found_with_what_is_left_of_the_gpu():
    torch = TorchFacts("2.13.0", devices=(TorchDevice(0, "A100", 1564 * MIB, 564 * MIB),))
    (finding,) = findings(profile(allocated=(LEAK,), torch=torch))
    assert finding.id == "memory.grows"
    assert "cuda:0 grows by 1.0 MiB with every step" in finding.summary
    assert "508.0 MiB after step 8, 564.0 MiB after step 64" in finding.evidence[0]
    assert "full after at most 1,000 more steps" in finding.evidence[1]
    assert finding.gain_seconds is None


@pytest.mark.parametrize(
    "sizes",
    [
        tuple((step, 500 * MIB) for step in STEPS),
        tuple((step, 500 * MIB + (step > 8) * 100 * MIB) for step in STEPS),
        tuple((step, 500 * MIB + step * 1000) for step in STEPS),
        tuple((step, 500 * MIB + step * MIB * (1 + step // 16)) for step in STEPS),
        LEAK.sizes[:5],
    ],
    ids=["flat", "once", "little", "uneven", "too few steps"],
)
def test_memory_that_settles_or_barely_grows_is_left_alone(sizes):
    assert ids(profile(allocated=(replace(LEAK, sizes=sizes),))) == []


def test_a_graph_that_explains_the_growth_is_named_instead():
    kept = Growth("main: total", "/none.py:1", ((2, 10), (4, 20), (8, 40), (16, 80)))
    assert ids(profile(allocated=(LEAK,), growth=(kept,))) == ["memory.graph-kept"]
