"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "gpudoctor").rglob("*.py"))
RUNNER = [path for path in MODULES if "runner" in path.parts] + [
    path for path in MODULES if path.name == "probe_script.py"
]
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < MOST_LINES_OF_A_FUNCTION, node.name


@pytest.mark.parametrize("path", RUNNER, ids=name)
def test_what_runs_in_the_users_interpreter_is_python_3_9(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_binding_imports_pynvml(path):
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    if "pynvml" in imported:
        assert path.parent.name == "nvml"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is_for(path):
    if path.read_text().strip():
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_types_are_read_through_the_lock_that_keeps_threads_from_crashing():
    ways = {"msgspec.convert", "msgspec.json.decode", "msgspec.json.Decoder"}
    past = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        if path.name != "decoding.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in ways)
        or (isinstance(node, ast.ImportFrom) and node.module in ("msgspec", "msgspec.json"))
    ]
    assert not past


def test_everything_public_says_what_it_is():
    silent = [
        f"{name(path)}:{item.lineno} {item.name}"
        for path in MODULES
        for item in public(ast.parse(path.read_text()))
        if not ast.get_docstring(item)
    ]
    assert not silent


def public(node):
    """The classes, functions and methods in `node` whose names have no underscore in front. A protocol's
    methods may be left to the protocol's own words."""
    for item in node.body:
        if not isinstance(item, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if item.name.startswith("_") or ast.unparse(item.body[-1]) == "...":
            continue
        yield item
        if isinstance(item, ast.ClassDef):
            yield from public(item)
