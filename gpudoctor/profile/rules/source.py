"""Looks for a call or a name in the user's own files, where a rule must say which line to change."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.profile import Profile
from gpudoctor.profile.session import regular

_MOST_FILES = 20


def call_line(profile: Profile, *names: str) -> str | None:
    """Where one of the functions `names` is called by its last name, as "file:line"; None: nowhere seen."""

    def calls(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else None
        return (function.id if isinstance(function, ast.Name) else name) in names

    return _first(profile, calls)


def setting_line(profile: Profile, *names: str) -> str | None:
    """Where an attribute that ends in one of `names`, such as "cudnn.benchmark", is set."""

    def sets(node: ast.AST) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        return any(
            f".{ast.unparse(target)}".endswith(tuple(f".{n}" for n in names)) for target in targets
        )

    return _first(profile, sets)


def text_line(profile: Profile, text: str) -> str | None:
    """Where the string `text` stands in the code."""
    return _first(profile, lambda node: isinstance(node, ast.Constant) and node.value == text)


def _first(profile: Profile, wanted: Callable[[ast.AST], bool]) -> str | None:
    for file in _files(profile):
        try:
            tree = ast.parse(regular(Path(file)))
        except (OSError, SyntaxError, ValueError, RecursionError, GpuDoctorError):
            continue
        found = [
            node.lineno
            for node in ast.walk(tree)
            if wanted(node) and isinstance(node, ast.expr | ast.stmt)
        ]
        if found:
            return f"{file}:{min(found)}"
    return None


def _files(profile: Profile) -> Iterator[str]:
    """The script, and the files in which the samples saw it at work."""
    named = [str(Path(profile.run.cwd, word)) for word in profile.run.program[:1]]
    seen = [line.source_line.rpartition(":")[0] for line in profile.lines]
    yield from [file for file in dict.fromkeys([*named, *seen]) if file.endswith(".py")][
        :_MOST_FILES
    ]
