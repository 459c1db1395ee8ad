"""What is required is used, what is used is required, and the page tells both."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from tools.dependencies import PAGE, WHY, direct, indirect, optional, page, requires

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gpudoctor"
IMPORTED_AS = {"nvidia-ml-py": "pynvml", "pyyaml": "yaml"}
# Started, not imported.
PROGRAMS = {"py-spy"}
# They run in the user's interpreter, where torch is asked for and may be missing.
OF_THE_USER = ("runner", "probe_script", "inject", "agent")


def imported() -> set[str]:
    """The foreign modules that the package imports, anywhere in a file."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if any(part in OF_THE_USER for part in (*path.parts, path.stem)):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"gpudoctor", "__future__"}


def test_what_is_required_is_imported_and_what_is_imported_is_required():
    wanted = {IMPORTED_AS.get(name, name) for name in direct() if name not in PROGRAMS}
    # What an extra brings with it, too, is there whenever the extra is.
    extra = {name.replace("-", "_") for root in optional() for name in (root, *requires(root))}
    assert wanted <= imported() <= wanted | extra


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_a_required_program_is_started_somewhere(program):
    assert program in direct()
    assert any(f'"{program}"' in path.read_text() for path in PACKAGE.rglob("*.py"))


def test_every_requirement_says_what_it_is_for():
    assert set(WHY) == set(direct())


def test_every_requirement_has_a_least_version_that_the_tested_one_reaches():
    constraints = (ROOT / "constraints.txt").read_text().split()
    tested = dict(line.lower().split("==") for line in constraints if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        name, least = line.split(">=")
        assert Version(least) <= Version(tested[name]), line


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "make it: python -m tools.dependencies"


def test_what_the_requirements_require_is_told_too():
    assert indirect()["markupsafe"] == {"jinja2"}
    assert "torch" not in {*direct(), *indirect()}
