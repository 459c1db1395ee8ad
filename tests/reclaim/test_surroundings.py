"""The code that runs inside another process imports nothing that lies around it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from gpudoctor.profile import payload as tracing
from gpudoctor.reclaim.cache import empty_cache
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit
from gpudoctor.reclaim.payloads import empty_cache as payload
from tests.reclaim.targets import ECHO, started

EVIL = "open({mark!r}, 'a').write(__name__ + '\\n')\n"
# Whatever a visit or what it runs might ask for, and what starts with every interpreter.
NAMES = (
    *("ast", "atexit", "collections", "ctypes", "gc", "io", "json", "os", "sys", "threading"),
    *("time", "torch", "traceback", "types", "_thread", "gpudoctor"),
)


@pytest.fixture
def surrounded(tmp_path):
    """A folder in which every module is a trap; what fell into one is in the file."""
    folder, mark = tmp_path / "evil", tmp_path / "fell"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(EVIL.format(mark=str(mark)))
    return folder, mark


@pytest.mark.parametrize("path", [False, True], ids=["cwd", "sys.path"])
def test_a_visit_runs_no_module_from_around_its_target(children, surrounded, path):
    folder, mark = surrounded
    lead = f"import sys; sys.path.insert(0, {str(folder)!r})\n" if path else ""
    # `python -c` has the current folder first on its path.
    code = f"{lead}print('ready')\nimport time\ntime.sleep(600)"
    pid = children.python(code, cwd=folder, stdin=subprocess.PIPE)
    done = visit(entrance(pid), ECHO, timeout_s=20)
    assert done.answer == sys.version.split()[0]
    assert empty_cache(pid).status == "nothing"
    assert not mark.exists()


@pytest.mark.parametrize("source", [payload(force=True, deep=True), tracing.source(__file__, 1.0)])
def test_what_runs_inside_imports_only_what_every_interpreter_has_loaded(source):
    always = {"sys", "time", "gc", "atexit", "os", "builtins"}
    imported = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    froms = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert imported <= always
    assert not froms
    assert all(name in sys.builtin_module_names or name == "os" for name in imported)


def test_the_helpers_of_a_visit_do_not_see_the_folder_or_the_variables_of_the_user(
    children, surrounded, monkeypatch
):
    from gpudoctor.reclaim.visitor import visit_apart

    folder, mark = surrounded
    (folder / "sitecustomize.py").write_text(EVIL.format(mark=str(mark)))
    pid = started(children, "import time\ntime.sleep(600)")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("PYTHONSTARTUP", str(folder / "json.py"))
    done = visit_apart(entrance(pid), ECHO, timeout_s=20)
    assert done.answer == sys.version.split()[0]
    assert not mark.exists()
    assert os.getcwd() == str(folder)
