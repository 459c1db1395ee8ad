"""The report as text: verdict first, unknown as a dash, no number without its interval."""

import io

import pytest
from rich.console import Console

from gpudoctor.model.bench import (
    BenchKind,
    BenchReport,
    BenchResult,
    Difference,
    Edit,
    Equality,
    Machine,
    Operator,
    Ratio,
    Status,
    Timing,
    Trajectory,
)
from gpudoctor.model.codec import to_builtins
from gpudoctor.render.bench import bar_of, report
from gpudoctor.render.bench_html import html


def result(setting, *, baseline=False, **more):
    steps = Timing(0.1, 0.09, 0.11, 100, 5)
    given = {"step": steps, "steps_per_second": 10.0, "status": Status.MEASURED, **more}
    return BenchResult(subject="resnet50", setting=setting, baseline=baseline, **given)


def text_of(kind, *results, width=140, notes=()):
    machine = Machine("cpu", python="3.11.7", torch="2.13.0", threads=2)
    whole = BenchReport(kind, machine, ("resnet50: a verdict.",), results, 12.0, notes)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for part in report(whole, width=width):
        console.print(part)
    return console.file.getvalue()


FASTER = Ratio(1.21, 1.19, 1.23, 5, 0.95)


def test_the_verdict_stands_first_and_the_notes_before_any_number():
    lines = text_of(
        BenchKind.CPU, result("default", baseline=True), notes=("not cuDNN",)
    ).splitlines()
    assert lines[0].strip() == "resnet50: a verdict."
    assert lines[1].strip() == "not cuDNN"
    assert "on cpu, torch 2.13.0, Python 3.11.7, 2 threads" in lines[2]


def test_a_ratio_is_shown_with_its_interval_and_no_difference_is_said():
    level = Ratio(1.01, 0.97, 1.05, 5, 0.95)
    text = text_of(
        BenchKind.CUDNN,
        result("default", baseline=True),
        result("benchmark", speedup=FASTER, payback_steps=14),
        result("tf32", speedup=level),
    )
    assert "1.21× [1.19–1.23]" in text
    assert "1.01× [0.97–1.05] no difference shown" in text
    assert "earned back after 14 steps" in text
    assert "mean of the rounds" in text and "unchanged run of the same round" in text


def test_what_is_not_known_is_a_dash():
    text = text_of(BenchKind.CUDNN, result("default", baseline=True))
    (row,) = [line for line in text.splitlines() if "100 in 5" in line]
    assert row.split()[-4:] == ["–", "–", "–", "–"]


def test_the_first_layer_that_differs_the_operators_and_the_edit_are_told():
    differing = Equality(3, False, True, False, Difference(2, "forward", "conv1", 0.5, 0.0, 1e-9))
    text = text_of(
        BenchKind.WHAT_IF,
        result("unchanged", baseline=True),
        result("a", equality=differing, operators=(Operator("put_", "main.py:3"),)),
        result("b", speedup=FASTER, edit=Edit("do it", "main.py:9"), trajectory=Trajectory.CLOSE),
        result("c", status=Status.FAILED, reason="out of memory", step=None, steps_per_second=None),
    )
    assert "first differ in step 2, forward, layer conv1" in text
    assert "weights 1e-09" in text
    assert "put_ has no deterministic version (called at main.py:3)" in text
    assert "b: to change: do it (main.py:9)" in text
    assert "c: failed: out of memory" in text
    assert "close" in text


@pytest.mark.parametrize("width", [80, 200])
def test_it_fits_the_screen(width):
    text = text_of(
        BenchKind.CUDNN, result("use_deterministic_algorithms", speedup=FASTER), width=width
    )
    assert all(len(line) <= width for line in text.splitlines())


def test_the_largest_bar_fills_its_width_and_nothing_is_no_bar():
    assert bar_of(10, 10, 8) == "█" * 8
    assert bar_of(5, 10, 8) == "████    "
    assert bar_of(0.1, 10, 8).strip() in ("", "▏")
    assert bar_of(0, 0, 4) == "    "


def test_the_html_opens_offline_and_escapes_what_is_foreign():
    hostile = result("<script>alert(1)</script>", speedup=FASTER)
    rows = (
        result("default", baseline=True),
        hostile,
        result("x", speedup=Ratio(0.8, 0.7, 0.9, 5, 0.95)),
    )
    text = html(BenchReport(BenchKind.CUDNN, None, ("a verdict",), rows, 1.0, ("a note",)))
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "http" not in text and "src=" not in text
    assert "1.21× [1.19–1.23]" in text and 'class="faster"' in text and 'class="slower"' in text
    assert "a verdict" in text and "a note" in text


def test_a_row_is_plain_json():
    plain = to_builtins(result("x", speedup=FASTER))
    assert plain["speedup"] == {
        "value": 1.21, "low": 1.19, "high": 1.23, "rounds": 5, "confidence": 0.95,
    }  # fmt: skip
    assert plain["equality"] is None and plain["status"] == "measured"
