from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.profile import Growth, HeldGrowth
from gpudoctor.profile.rules.registry import findings
from tests.profile.build import profile

MB = 1024**2
GROWING = tuple((step, step, step * MB) for step in (2, 4, 8, 16, 32, 64))
KEPT = HeldGrowth("main: outputs", "/none.py:1", "cuda", GROWING)


def test_a_list_that_keeps_tensors_is_found():
    (finding,) = findings(profile(held=(KEPT,)))
    assert finding.id == "memory.tensors-kept"
    assert finding.summary == ("`outputs` keeps 1.0 MiB of the GPU's memory more with every step.")
    assert finding.evidence[0] == "2 entries after step 2, 64 after step 64"


def test_the_line_that_adds_to_it_is_named(tmp_path):
    (tmp_path / "a.py").write_text("def main():\n    outputs = []\n    outputs.append(x)\n")
    (finding,) = findings(profile(held=(replace(KEPT, source_line=f"{tmp_path}/a.py:1"),)))
    assert finding.source_line == f"{tmp_path}/a.py:3"


@pytest.mark.parametrize(
    "sizes",
    [
        tuple((step, 1000, 64 * MB) for step in (2, 4, 8, 16, 32)),
        tuple((step, step, step * 1000) for step in (2, 4, 8, 16, 32)),
        (*GROWING[:5], (64, 32, 40 * MB)),
        ((16, 100, 64 * MB), (32, 200, 128 * MB)),
    ],
)
def test_a_data_set_small_numbers_and_what_is_emptied_again_are_no_finding(sizes):
    assert findings(profile(held=(replace(KEPT, sizes=sizes),))) == ()


def test_a_kept_graph_is_not_told_a_second_time():
    growth = Growth("main: outputs", "/none.py:1", ((2, 10), (4, 20), (8, 40), (16, 80)))
    assert [one.id for one in findings(profile(held=(KEPT,), growth=(growth,)))] == [
        "memory.graph-kept"
    ]
