"""The documentation as a site: it builds without a warning, and every link in it leads somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools.site import BROUGHT, rewritten

ROOT = Path(__file__).parents[2]


def test_a_link_to_a_page_leads_to_the_page_under_its_title():
    assert rewritten("see [docs/ui.md](docs/ui.md).", "index.md") == "see [The terminal UI](ui.md)."
    assert rewritten("[docs/ui.md](docs/ui.md#a)", "index.md") == "[The terminal UI](ui.md#a)"
    assert rewritten("[keys](docs/ui.md#keys)", "index.md") == "[keys](ui.md#keys)"
    assert rewritten("[help](../CONTRIBUTING.md)", "ui.md") == "[help](contributing.md)"


def test_a_link_to_a_file_that_the_site_has_not_becomes_its_text():
    assert rewritten("in [benchmarks/](../benchmarks).", "architecture.md") == "in benchmarks/."


def test_a_picture_and_a_link_elsewhere_stay():
    assert rewritten("![it](docs/images/a.svg)", "index.md") == "![it](images/a.svg)"
    text = "[x](https://example.org/docs/ui.md) and [y](#here)"
    assert rewritten(text, "index.md") == text


def test_what_looks_like_a_link_in_code_is_left_alone():
    text = "```\na[i](docs/ui.md)\n```\n"
    assert rewritten(text, "index.md") == text


class Links(HTMLParser):
    """The ids of a page, and where its links and pictures lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        for name in ("href", "src"):
            if found.get(name):
                self.targets.add(found[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.integration
def test_every_page_of_the_repository_is_a_page_of_the_site(site):
    wanted = {page.removesuffix(".md") for page in BROUGHT}
    wanted |= {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} == wanted | {"404"}


@pytest.mark.integration
def test_no_link_is_broken_and_nothing_is_fetched_from_elsewhere(site):
    pages = {path: Links(path.read_text()) for path in site.glob("*.html") if path.stem != "404"}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = pages[file].ids if file in pages else {parts.fragment}
            if not file.is_file() or (parts.fragment and parts.fragment not in known):
                broken.append((page.name, target))
    assert not broken
    scripts = [page.name for page in pages if '<script src="http' in page.read_text()]
    assert not scripts
