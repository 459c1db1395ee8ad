"""The table of checks as a whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gpudoctor.checks import registry
from gpudoctor.checks.context import NEEDS
from gpudoctor.checks.registry import registered
from gpudoctor.model.finding import Severity

CHECKS = registered()
IDS = {check.id for check in CHECKS}


def test_there_are_at_least_sixty_checks_of_a_machine():
    assert len([check for check in CHECKS if check.group != "script"]) >= 60


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_names_known_needs_causes_and_a_source(check):
    assert set(check.needs + check.uses) <= set(NEEDS)
    assert set(check.after) <= IDS
    assert check.id not in check.after
    assert check.sources or check.tier in ("C", "I")
    assert all(source.startswith("https://") for source in check.sources)
    assert not check.title.endswith(".")


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
    found = {path: imported(path) for path in root.rglob("*.py")}
    assert {"gpudoctor", "re", "os"} <= set().union(*found.values())
    for path, names in found.items():
        assert not names & {"subprocess", "socket", "pynvml", "torch"}, path


def imported(path):
    """The packages that a module imports, however it is written."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_severities_are_ordered():
    assert Severity.INFO < Severity.WARNING < Severity.ERROR


def test_a_plugin_that_cannot_be_loaded_does_not_take_the_others(monkeypatch):
    class Broken:
        name = "broken"

        def load(self):
            raise ImportError("no such module")

    monkeypatch.setattr(registry, "entry_points", lambda group: [Broken()])
    assert {check.id for check in registered()} == IDS


def test_a_check_without_an_explanation_or_a_group_is_refused():
    def silent(ctx):
        yield from ()

    for name in ("nogroup", "driver.no-gpu", "new.one"):
        with pytest.raises(ValueError, match=r"taken or has no group|docstring"):
            registry.check(name, title="t", needs=(), tier="A", severity=Severity.INFO)(silent)
