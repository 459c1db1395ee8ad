from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpudoctor.profile.rules import (
    allocator,
    cpu_threads,
    cudnn_search,
    device,
    gpus,
    held_memory,
    loader,
    memory_format,
    optimizer,
    precision,
    python_code,
    repeated_copies,
    small_operators,
    tensor_cores,
)
from gpudoctor.profile.rules.registry import rules

PAGE = (Path(__file__).parents[2] / "docs" / "profile.md").read_text()


def test_the_page_names_every_rule_and_no_other():
    named = set(
        re.findall(r"`([a-z]+\.[a-z-]+)`", PAGE.partition("## What it finds")[2].partition("##")[0])
    )
    assert named == set(rules())


# The numbers that the page gives, and the constants of the rules that they are.
SAID = {
    "loader.starved": f"{loader.STARVED * 100:g} %",
    "loader.restarts": f"{loader.RESTARTED * 100:g} %",
    "python.main-thread": f"{python_code.LEAST * 100:g} %",
    "cpu.threads": f"{cpu_threads.LONG_OPERATOR_S * 1e6:g} µs",
    "operators.small": f"{small_operators.SMALL_KERNEL_S * 1e6:g} µs",
    "optimizer.for-loop": f"{optimizer.LEAST * 100:g} %",
    "optimizer.not-fused": f"{optimizer.LEAST * 100:g} %",
    "memory.tensors-kept": f"{held_memory.LEAST_BYTES // 1024**2} MiB",
    "memory.churn": f"{allocator.LEAST * 100:g} %",
    "memory.nearly-full": f"{device.NEARLY_FULL * 100:g} %",
    "sync.blocking": f"{device.SYNC * 100:g} %",
    "copies.pageable": f"{device.PAGEABLE * 100:g} %",
    "copies.exposed": f"{device.EXPOSED * 100:g} %",
    "copies.repeated": f"{repeated_copies.LEAST * 100:g} %",
    "precision.full": f"{precision.LEAST * 100:g} %",
    "shapes.tensor-cores": f"{tensor_cores.LEAST * 100:g} %",
    "layout.channels-last": f"{memory_format.LEAST * 100:g} %",
    "cudnn.search": f"{cudnn_search.VOLATILE * 100:g} %",
    "device.idle": f"{gpus.LITTLE * 100:g} %",
}


@pytest.mark.parametrize("name", SAID)
def test_the_page_gives_the_threshold_that_the_rule_has(name):
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
    assert SAID[name] in row.split("|")[2]


def test_every_threshold_has_its_source():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[a-z]+\.[a-z-]+`", line)]
    bare = [row for row in rows if not row.split("|")[3].strip()]
    assert len(rows) >= 20
    assert [row.split("`")[1] for row in bare] == ["memory.graph-kept"]
