"""What `gpudoctor empty-cache` says."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from gpudoctor.model.injection import CacheReport
from gpudoctor.present.ending import cache_lines
from gpudoctor.render.ending import styled


def report_lines(report: CacheReport) -> Iterator[Text]:
    """What the process held before and after, and what the driver saw come back."""
    yield from map(styled, cache_lines(report))
