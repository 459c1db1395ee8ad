"""report.html of several ranks."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.finding import Severity
from gpudoctor.model.profile import ProfileFinding
from gpudoctor.model.ranks import RankFinding
from gpudoctor.render import rank_files
from gpudoctor.render.ranks_html import html
from tests.profile.build import RUN, STEPS, line, profile
from tests.render.test_profile_ranks_text import ranks_of, time

PHASES = (("backward", 0.01), ("communication", 0.006), ("data", 0.0))


class _Tags(HTMLParser):
    """Fails on tags that are closed in another order than they were opened."""

    void = frozenset({"meta", "input", "path", "rect", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_every_rank_has_its_tab_and_a_link_to_its_own_report():
    tags = _Tags(html(ranks_of(time(0), time(3)))).seen
    assert [a["href"] for tag, a in tags if tag == "a"] == [
        "rank0/report.html",
        "rank3/report.html",
    ]
    assert [a["data-rank"] for tag, a in tags if tag == "button"] == ["0", "3"]
    assert [a["id"] for tag, a in tags if tag == "section"] == ["rank0", "rank3"]


def test_nothing_is_fetched_from_anywhere():
    shown = html(ranks_of(time(0, phases=PHASES), time(1, phases=PHASES)))
    assert "http" not in shown and "src=" not in shown and "@import" not in shown


def test_the_bars_are_to_one_scale():
    longer = time(1, phases=(("communication", 0.008), ("python", 0.024)))
    shown = html(ranks_of(time(0, phases=PHASES), longer))
    assert re.findall(r'class="bar" style="width:([\d.]+)%"', shown) == ["50.0", "100.0"]
    assert 'title="rank 0: data' not in shown


def test_the_rank_that_holds_the_others_up_is_marked():
    found = ProfileFinding("ranks.straggler", Severity.WARNING, "Rank 1 is slow.", 2.0, None)
    seen = ranks_of(
        time(0, phases=PHASES), time(1, phases=PHASES), findings=(RankFinding(found, (1,)),)
    )
    shown = html(seen)
    assert shown.count('class="blamed">rank 1<') == 1
    assert 'class="blamed">rank 0<' not in shown


def test_what_ranks_say_cannot_leave_the_page():
    hostile = "</script><img src=x onerror=alert(1)>\x1b[31m"
    one = replace(
        profile(lines=(line(text=hostile),), notes=(hostile,)),
        run=replace(RUN, how="exception", exception=hostile, program=(hostile,)),
    )
    seen = replace(ranks_of(time(0, how="exception"), notes=(hostile,)), profiles=(one,))
    shown = html(seen)
    assert "<img" not in shown and "\x1b" not in shown
    assert shown.count("</script>") == 1
    _Tags(shown)


def test_one_slow_step_does_not_flatten_the_others():
    series = (9.0, *((0.1,) * 400))
    seen = replace(ranks_of(time(0)), profiles=(profile(steps=replace(STEPS, series=series)),))
    assert "All up to 100 ms." in html(seen)


def test_ranks_that_never_stepped_make_a_page_too():
    bare = time(0, steps=None, step_seconds=None, window_step_seconds=None, how="not started")
    seen = replace(ranks_of(bare), profiles=(profile(steps=None, window=None),))
    shown = html(seen)
    assert "did not start" in shown and "rank beside rank" not in shown
    _Tags(shown)


def test_a_link_in_the_folder_is_not_written_through(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_files, "write_reports", lambda *_: None)
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "report.html").symlink_to(tmp_path / "precious")
    rank_files.write_rank_reports(ranks_of(time(0)), tmp_path)
    assert (tmp_path / "precious").read_text() == "kept"
    assert "<title>" in (tmp_path / "report.html").read_text()
    with pytest.raises(GpuDoctorError, match="cannot be written"):
        rank_files.write_rank_reports(ranks_of(time(0)), tmp_path / "gone")
