"""The edit that a user would make, as a unified diff of the source. Nothing is ever written."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from gpudoctor.bench.model_edits import edited, of_model

_POSITIONAL_WORKERS = 5


def patch(
    line: str | None, changes: Mapping[str, Any], changed: Sequence[Mapping[str, Any]], script: Path
) -> str | None:
    """The diff that makes `changes` at the places where the run made them.

    `line` is a statement that does it anywhere; it is put below the script's imports. None where the
    place in the source is not known for sure.
    """
    sources: dict[Path, str] = {}
    try:
        if line is not None:
            sources[script] = _below_imports(script.read_text(), line)
        else:
            # From the end, so that a line that is added moves no other place.
            for entry in sorted(changed, key=_place, reverse=True):
                if of_model(entry["what"]):
                    _at_model(sources, entry, alone=len(changed) == 1)
                else:
                    _at_call(sources, entry, changes)
            for text in sources.values():
                ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    parts = [_diff(path, after) for path, after in sources.items()]
    return "".join(parts) or None


def _place(entry: Mapping[str, Any]) -> tuple[str, int]:
    return tuple(entry["site"]) if entry["site"] else ("", 0)


def _at_model(sources: dict[Path, str], entry: Mapping[str, Any], *, alone: bool) -> None:
    if not alone or entry["site"] is None:
        raise ValueError("the model is not called in one place")
    path = Path(entry["site"][0])
    sources[path] = edited(path.read_text(), entry["what"], entry["site"][1])


def _at_call(
    sources: dict[Path, str], entry: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """`entry["what"]` is "DataLoader(num_workers)": a call and the keyword that it gets."""
    callee, opened, rest = entry["what"].partition("(")
    keyword = rest.rstrip(")")
    if not opened or entry["site"] is None or keyword not in changes:
        raise ValueError(entry["what"])
    path = Path(entry["site"][0])
    before = sources.get(path) or path.read_text()
    sources[path] = with_keyword(before, callee, entry["site"][1], keyword, changes[keyword])


def with_keyword(source: str, callee: str, line: int, keyword: str, value: Any) -> str:
    """`source` with `keyword=value` in the call of `callee` at `line`.

    Raises:
        ValueError: there is not exactly one such call, or it may already get the argument otherwise.
    """
    nodes = ast.walk(ast.parse(source))
    calls: list[ast.Call] = [node for node in nodes if _is_call(node, callee, line)]
    if len(calls) != 1:
        raise ValueError(f"no single call of {callee} in line {line}")
    call = calls[0]
    if any(one.arg is None for one in call.keywords) or len(call.args) > _POSITIONAL_WORKERS:
        raise ValueError("the arguments are not all named in the call")
    written = f"{keyword}={value!r}"
    for one in call.keywords:
        if one.arg == keyword:
            return _replaced(source, _span(one), written)
    given: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    end = _span(call)[1]
    if not given:
        return _replaced(source, ((end[0], end[1] - 1),) * 2, written)
    start, end = max(_span(node)[::-1] for node in given)[::-1]
    if end == _span(call)[1]:
        # A lone generator shares its parentheses with the call.
        inside = _replaced(source, (end, end), f", {written})")
        return _replaced(inside, (start, start), "(")
    return _replaced(source, (end, end), f",{_gap(source, start)}{written}")


def _gap(source: str, start: Place) -> str:
    """A line break and the indent where the last argument stands on a line of its own, else a space."""
    before = source.encode().split(b"\n")[start[0] - 1][: start[1]].decode()
    return f"\n{before}" if not before.strip() else " "


Place = tuple[int, int]


def _is_call(node: ast.AST, callee: str, line: int) -> TypeGuard[ast.Call]:
    if not isinstance(node, ast.Call) or not node.lineno <= line <= (node.end_lineno or 0):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return bool(name == callee)


def _span(node: ast.expr | ast.keyword) -> tuple[Place, Place]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _replaced(source: str, span: tuple[Place, Place], text: str) -> str:
    # Columns of the syntax tree count bytes.
    lines = source.encode().split(b"\n")
    (first, start), (last, end) = span
    head, tail = lines[first - 1][:start], lines[last - 1][end:]
    lines[first - 1 : last] = [head + text.encode() + tail]
    return b"\n".join(lines).decode()


def _below_imports(source: str, line: str) -> str:
    body = ast.parse(source).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    if not any(
        isinstance(node, ast.Import)
        and any(name.name == "torch" and not name.asname for name in node.names)
        for node in imports
    ):
        raise ValueError("the script has no `import torch` at its top")
    lines = source.split("\n")
    lines.insert(imports[-1].end_lineno or 0, line)
    return "\n".join(lines)


def _diff(path: Path, after: str) -> str:
    try:
        name = str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        name = str(path).lstrip("/")
    before = path.read_text().splitlines(keepends=True)
    return "".join(
        difflib.unified_diff(before, after.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    )
