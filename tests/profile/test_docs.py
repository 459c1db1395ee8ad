from __future__ import annotations

import re
from pathlib import Path

from gpudoctor.profile.rules.registry import rules

PAGE = (Path(__file__).parents[2] / "docs" / "profile.md").read_text()


def test_the_page_names_every_rule_and_no_other():
    named = set(
        re.findall(r"`([a-z]+\.[a-z-]+)`", PAGE.partition("## What it finds")[2].partition("##")[0])
    )
    assert named == set(rules())
