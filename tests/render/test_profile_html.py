from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import DeviceTime, OperatorTime
from gpudoctor.model.profile import ModuleTime, PhaseTime, ProfileFinding
from gpudoctor.profile.session import SamplesSeen
from gpudoctor.profile.timeline import GpuSeen, Point, Timeline
from gpudoctor.render.charts import chart
from gpudoctor.render.flame import boxes
from gpudoctor.render.profile_html import heading, html
from tests.profile.build import WINDOW, line, profile

SAMPLES = SamplesSeen(
    interval_seconds=0.01,
    samples=4,
    functions=[
        ("main", "/home/me/main.py", 1, True),
        ("Linear.forward", "/x/torch/nn/linear.py", 9, False),
        ("_find", "<frozen importlib._bootstrap>", 3, False),
        ("<module>", "/x/torch/optim/__init__.py", 1, False),
    ],
    stacks=[
        (3.0, True, [(1, 10), (0, 4)]),
        (1.0, False, [(3, 5), (2, 9), (2, 8), (0, 2)]),
    ],
)
FINDING = ProfileFinding(
    id="loader.starved",
    severity=Severity.WARNING,
    summary="<script>alert(1)</script> & waits",
    gain_seconds=2.0,
    source_line="/home/me/main.py:3",
    evidence=("\x1b[31m",),
    fix=Fix("Use workers."),
    sources=("https://example.org/",),
)
FULL = profile(
    findings=(FINDING,),
    lines=(line(text="x < y"),),
    window=replace(
        WINDOW,
        phases=(PhaseTime("data", 0.1), PhaseTime("backward", 0.3)),
        operators=(OperatorTime("aten::mm", 3, 0.25, None),),
    ),
)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input", "path"):
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag


def test_the_report_is_one_file_that_loads_nothing():
    page = html(FULL, SAMPLES)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.links == ["https://example.org/"]
    assert not re.search(r"@import|url\(|fetch\(", page)


def test_foreign_text_is_shown_and_never_run():
    page = html(FULL, SAMPLES)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; waits" in page
    assert "\x1b" not in page
    assert "x &lt; y" in page


def test_the_report_shows_what_was_found():
    page = html(FULL, SAMPLES)
    assert "up to 2.00 s to gain" in page
    assert "main.py:3" in page
    assert "aten::mm" in page
    assert "75.0%" in page


def test_a_profile_of_nothing_gives_a_report_too():
    page = html(profile(steps=None, window=None), None)
    assert "Nothing to complain about" in page
    assert "<table" not in page


def test_boxes_lie_below_their_callers_and_share_their_width():
    found = {box.name: box for box in boxes(SAMPLES)}
    assert set(found) == {"main", "Linear.forward", "optim/__init__.py"}
    assert (found["main"].width, found["main"].depth, found["main"].kind) == (100.0, 0, "user")
    assert (found["Linear.forward"].left, found["Linear.forward"].width) == (0.0, 75.0)
    module = found["optim/__init__.py"]
    assert (module.left, module.width, module.depth, module.kind) == (75.0, 25.0, 1, "import")


def test_no_samples_give_no_boxes():
    assert boxes(SamplesSeen(0.01, 0, [], [])) == ()


def test_a_chart_reaches_from_zero_to_the_highest_value():
    drawn = chart([(0, 5.0), (1, 10.0), (2, 0.0)])
    assert drawn.top == 10.0
    assert drawn.line == "M0.0,60.0 L500.0,0.0 L1000.0,120.0"


def test_one_point_is_no_chart():
    assert chart([(0, 5.0)]) is None
    assert chart([(0, 0.0), (1, 0.0)]) is None


def test_the_gpus_timeline_is_drawn_with_the_stretches_in_which_it_was_slowed():
    points = [
        Point(0.5 * at, 0.5, None, 8 * 2**30, 1.5e9, 300.0, ("hw_slowdown",) if at == 2 else ())
        for at in range(5)
    ]
    seen = Timeline(0.5, [GpuSeen(1, "GPU-1", "NVIDIA <H100>", 80 * 2**30, points)])
    page = html(profile(), None, seen)
    assert "GPU 1: NVIDIA &lt;H100&gt;, by NVML" in page
    assert page.count('class="slowed" x="500.0" y="0" width="250.0"') == 4
    assert "<title>hw_slowdown</title>" in page
    assert "Multiprocessors active" not in page


def test_without_a_gpu_there_is_no_strip():
    assert "by NVML" not in html(profile(), None)


def headings(page: str, table: str) -> list[str]:
    """The titles of the table whose id is `table`."""
    head = page.partition(f'<table id="{table}">')[2].partition("</thead>")[0]
    return re.findall(r"<th[^>]*>([^<]*)</th>", head)


def test_columns_for_what_the_run_did_not_have_are_left_out():
    def module(**times):
        return ModuleTime("Net", "", "Net", 1, 0.1, 0.1, **times)

    inference = html(replace(FULL, modules=(module(),)), SAMPLES)
    assert "Backward" not in headings(inference, "modules")
    assert "GPU" not in headings(inference, "modules")
    assert "GPU time" not in headings(inference, "operators")
    seen = module(
        backward_self_seconds=0.1,
        backward_seconds=0.2,
        device_self_seconds=0.1,
        device_seconds=0.1,
    )
    device = DeviceTime(0.1, 1, 0.1, 0, 0.0, 0.0, 0.0)
    training = replace(FULL, modules=(seen,), window=replace(FULL.window, device=device))
    titles = headings(html(training, SAMPLES), "modules")
    assert titles[3:8] == ["Forward", "Own", "Backward", "Own", "GPU"]
    assert "GPU time" in headings(html(training, SAMPLES), "operators")


def test_abbreviations_in_titles_stay_capital():
    assert [heading(title) for title in ("NO CPU", "CPU", "MEDIAN STEP")] == [
        "No CPU",
        "CPU",
        "Median step",
    ]
