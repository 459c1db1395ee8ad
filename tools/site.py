"""Makes pages of the site from the files that a forge shows at the top of the repository.

mkdocs calls it (`hooks` in mkdocs.yml). Links lead to pages where there are such; a link to another file
of the repository becomes its text, because the site does not have that file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# A page of the site, and the file of the repository that it is made from.
BROUGHT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "grafana.md": "grafana/README.md",
}
_STYLE = """\
.md-grid { max-width: 84rem; }
.md-typeset table:not([class]) { display: table; font-size: .68rem; }
.md-typeset table:not([class]) td, .md-typeset table:not([class]) th { padding: .45em .9em; min-width: 0; }
.md-typeset td[style*="right"] { white-space: nowrap; }
.md-typeset table code { white-space: nowrap; }
.md-typeset pre > code { font-size: .6rem; line-height: 1.35; }
"""
_FENCE = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and the style sheet."""
    for page, source in BROUGHT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "site.css", content=_STYLE))
    return files


def on_page_markdown(markdown: str, page: Page, **_given: object) -> str:
    """The page with its links made to fit the site."""
    return rewritten(markdown, page.file.src_uri)


def rewritten(markdown: str, page: str) -> str:
    """`markdown` of a page of the site with every link that leads elsewhere in the repository adapted."""
    folder = posixpath.dirname(BROUGHT.get(page, f"docs/{page}"))
    parts = _FENCE.split(markdown)
    # Odd parts are fenced code, where brackets are no links.
    parts[::2] = [_LINK.sub(lambda link: _link(link, folder), part) for part in parts[::2]]
    return "".join(parts)


def _link(link: re.Match[str], folder: str) -> str:
    picture, text, target = link.groups()
    path, _, anchor = target.partition("#")
    if "://" in target or target.startswith(("#", "mailto:")):
        return link[0]
    place = posixpath.normpath(posixpath.join(folder, path))
    there = {source: page for page, source in BROUGHT.items()}.get(place)
    if there is None and place.startswith("docs/") and not (ROOT / place).is_dir():
        there = place.removeprefix("docs/")
    if there is None:
        return text
    if text == path:
        # On a forge a file's path says where one goes; a page of the site has a title.
        text = _title(place)
    return f"{picture}[{text}]({there}{'#' + anchor if anchor else ''})"


def _title(source: str) -> str:
    first = (ROOT / source).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ") if first.startswith("# ") else source
