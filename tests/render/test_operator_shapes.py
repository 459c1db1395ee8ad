from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from gpudoctor.model.operators import DeviceTime, KernelTime, OperatorShape
from gpudoctor.render.operator_shapes import given
from gpudoctor.render.profile import report
from gpudoctor.render.profile_html import html
from tests.profile.build import WINDOW, profile

MM = OperatorShape("aten::mm", ("c10::Half", "c10::Half"), ((64, 8), (8, 3)), 4, 0.01, 0.02)
KERNEL = KernelTime("ampere_sgemm_128x64_tn", None, 7, 0.003)
DEVICE = DeviceTime(0.1, 7, 0.1, 0, 0.0, 0.0, 0.0)
SEEN = profile(window=replace(WINDOW, shapes=(MM,), kernels=(KERNEL,), device=DEVICE))


def text(seen) -> str:
    console = Console(width=200, markup=False, highlight=False, record=True, file=io.StringIO())
    console.print(*report(seen), sep="\n")
    return console.export_text()


def test_a_type_is_named_once_for_neighbours():
    assert given(MM) == "half 64×8, 8×3"
    mixed = replace(MM, types=("float", "c10::BFloat16", "TensorList"), shapes=((2,), (3,), (60,)))
    assert given(mixed) == "float 2, bfloat16 3, 60 tensors"


def test_the_terminal_shows_shapes_and_kernels_with_their_times():
    rows = [" ".join(line.split()) for line in text(SEEN).splitlines()]
    assert "aten::mm 4 10.0 ms 20.0 ms half 64×8, 8×3" in rows
    assert "ampere_sgemm_128x64_tn 7 3.0 ms –" in rows


def test_without_shapes_or_a_gpu_both_tables_are_left_out():
    assert "tensors they were given" not in text(profile())
    assert "Kernels" not in text(profile())


def test_the_html_report_has_both_tables():
    page = html(SEEN, None)
    assert "<td>half 64×8, 8×3</td>" in page
    assert 'data-table="kernels"' in page
    assert "Kernels on the GPU" not in html(profile(), None)
