"""The table of checks as a whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gpudoctor.checks.context import NEEDS
from gpudoctor.checks.registry import registered
from gpudoctor.model.finding import Severity

CHECKS = registered()
IDS = {check.id for check in CHECKS}
TEXTS = "\n".join(path.read_text() for path in Path(__file__).parent.rglob("*.py"))


def test_there_are_at_least_sixty_checks_of_a_machine():
    assert len([check for check in CHECKS if check.group != "script"]) >= 60


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_names_known_needs_causes_and_a_source(check):
    assert set(check.needs) <= set(NEEDS)
    assert set(check.after) <= IDS
    assert check.id not in check.after
    assert check.sources or check.tier in ("C", "I")
    assert all(source.startswith("https://") for source in check.sources)
    assert not check.title.endswith(".")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_has_tests_of_its_own(check):
    assert len(re.findall(rf'"{re.escape(check.id)}"', TEXTS)) >= 1


def test_causes_never_form_a_ring():
    after = {check.id: check.after for check in CHECKS}

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, path
        for cause in after[node]:
            visit(cause, (*path, node))

    for node in after:
        visit(node, ())


def test_no_check_touches_the_machine_by_itself():
    root = Path(__file__).parents[2] / "gpudoctor" / "checks"
    for path in root.glob("*.py"):
        names = {
            node.names[0].name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
        }
        assert not names & {"subprocess", "socket", "pynvml", "torch"}, path


def test_severities_are_ordered():
    assert Severity.INFO < Severity.WARNING < Severity.ERROR
