"""The rule about copies of the same bytes: what fires, how much it promises, and what it advises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.operators import DeviceTime, RepeatedCopy
from gpudoctor.profile.rules.registry import findings
from gpudoctor.profile.session import CopySeen, WindowSeen
from gpudoctor.profile.trace import read_trace
from gpudoctor.profile.window import window_of
from tests.profile.build import STEPS, WINDOW, profile, trace

COPY = RepeatedCopy(
    source_line="/home/me/main.py:9",
    text="mask = mask.to(device)",
    source="cpu",
    target="cuda:0",
    steps=4,
    tensors=1,
    bytes=4 * 2**20,
    seconds=0.04,
)
DEVICE = DeviceTime(0.1, 40, 0.09, 4, 0.03, 0.0, 0.0)


def seen(*copies, device=None, **changes):
    window = replace(WINDOW, copies=copies, device=device, **changes)
    return [one for one in findings(profile(window=window)) if one.id == "copies.repeated"]


def test_the_bytes_of_a_step_the_line_and_the_most_that_can_be_saved_are_named():
    (found,) = seen(COPY)
    assert found.summary == "The same 1.0 MiB is copied from cpu to cuda:0 in every step."
    assert found.source_line == "/home/me/main.py:9"
    loop = STEPS.span_seconds + STEPS.median_seconds
    assert found.gain_seconds == pytest.approx(0.04 / WINDOW.seconds * loop)
    assert "10.0 ms" in found.evidence[0] and "mask.to(device)" in found.evidence[0]
    assert "register_buffer()" in found.fix.text
    assert not any("PCIe" in words for words in found.evidence)


def test_some_steps_are_not_every_step():
    (found,) = seen(replace(COPY, steps=3))
    assert "in 3 of 4 steps" in found.summary


def test_a_copy_that_costs_less_than_a_fiftieth_of_the_step_is_none_of_our_business():
    assert seen(replace(COPY, seconds=0.007)) == []
    assert seen(replace(COPY, seconds=0.009)) != []


def test_a_copy_that_the_cpu_only_starts_takes_its_bytes_time_on_the_link():
    bytes_of_a_tenth = int(64e9 * 0.1 * WINDOW.seconds)
    (found,) = seen(replace(COPY, seconds=1e-5, bytes=bytes_of_a_tenth))
    assert found.gain_seconds == pytest.approx(0.1 * 10.1, rel=1e-3)
    assert "10.0 ms a step for its bytes on PCIe 5.0" in found.evidence[1]
    between_gpus = replace(COPY, seconds=1e-5, bytes=bytes_of_a_tenth, source="cuda:1")
    assert seen(between_gpus) == []


def test_waiting_for_kernels_before_a_copy_is_not_its_cost():
    (found,) = seen(replace(COPY, seconds=0.3), device=DEVICE)
    assert found.gain_seconds == pytest.approx(DEVICE.copy_seconds / WINDOW.seconds * 10.1)


def test_a_gpu_that_is_busy_all_the_time_loses_nothing():
    assert seen(COPY, device=replace(DEVICE, busy_seconds=0.39)) == []


def test_what_goes_to_the_cpu_is_not_advised_to_be_a_buffer():
    (found,) = seen(replace(COPY, source="cuda:0", target="cpu"))
    assert "register_buffer" not in found.fix.text


def test_each_line_is_a_finding_of_its_own():
    assert len(seen(COPY, replace(COPY, source_line="/home/me/main.py:10"))) == 2


def test_the_sessions_rows_are_read_with_their_code(tmp_path):
    script = tmp_path / "main.py"
    script.write_text("x = 1\nx.to(there)\n")
    row = CopySeen((str(script), 2), "cpu", "cuda:0", 3, 1, 300, 0.1)
    given = WindowSeen(state="done", steps=3, seconds=0.3, copies=(row,))
    (copy,) = window_of(read_trace(trace(tmp_path, []), 77), given).copies
    assert (copy.source_line, copy.text) == (f"{script}:2", "x.to(there)")
    assert (copy.steps, copy.bytes, copy.seconds) == (3, 300, 0.1)
