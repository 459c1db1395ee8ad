"""Edits of how a model is called: its layout, autocast, compilation. Pure functions of the source.

Each raises ValueError where the place or the meaning is not sure: no patch is better than a wrong one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

_LAYOUT = "memory_format=torch.channels_last"
_STEP = "    "


def of_model(what: str) -> bool:
    """Whether a change is one of these."""
    return what.partition("(")[0] in _EDITS


def edited(source: str, what: str, line: int) -> str:
    """`source` with the change `what` ("compile", "memory_format(0)", "autocast(cuda)") at `line`.

    `line` is that of the model's call in the training step.
    """
    kind, _, rest = what.partition("(")
    if kind not in _EDITS:
        raise ValueError(what)
    return _EDITS[kind](source, line, rest.rstrip(")"))


def _compiled(source: str, line: int, _: str) -> str:
    place, name, indent = _made(source, line)
    return _inserted(source, place, f"{indent}{name}.compile()")


def _laid_out(source: str, line: int, positions: str) -> str:
    _check_torch(source)
    call = _call(source, line)
    wanted = [int(number) for number in positions.split(",") if number]
    if not wanted or max(wanted) >= len(call.args):
        raise ValueError("the arguments to lay out are not positions of the call")
    after = source
    for number in sorted(wanted, reverse=True):
        after = _wrapped(after, call.args[number])
    place, name, indent = _made(source, line)
    if place >= line:
        raise ValueError("the model is made below its call")
    return _inserted(after, place, f"{indent}{name}.to({_LAYOUT})")


def _autocast(source: str, line: int, device: str) -> str:
    """The statements from the model's call to the one before `.backward()`, one step further in."""
    _check_torch(source)
    block = _block(source, line)
    begin = next(n for n, one in enumerate(block) if one.lineno <= line <= (one.end_lineno or 0))
    end = next((n for n in range(begin, len(block)) if _calls(block[n], "backward")), None)
    if end is None or end == begin:
        raise ValueError("the backward pass is not a statement of its own in the same block")
    chosen = block[begin:end]
    if any(_spans_lines(one) or _calls(one, "step") for one in chosen):
        raise ValueError("the statements between cannot be moved as they are")
    first, last = chosen[0].lineno, chosen[-1].end_lineno or 0
    lines = source.split("\n")
    indent = lines[first - 1][: chosen[0].col_offset]
    if indent.strip():
        raise ValueError("the statement shares its line with another")
    inner = [f"{_STEP}{text}" if text.strip() else text for text in lines[first - 1 : last]]
    head = f'{indent}with torch.autocast("{device}", torch.bfloat16):'
    lines[first - 1 : last] = [head, *inner]
    return "\n".join(lines)


_EDITS: dict[str, Callable[[str, int, str], str]] = {
    "compile": _compiled,
    "memory_format": _laid_out,
    "autocast": _autocast,
}


def _call(source: str, line: int) -> ast.Call:
    """The one call of a plain name at `line` whose name the same body has made, and not as a loss."""
    tree = ast.parse(source)
    body = _body_around(tree, line)
    made = {name for one in body if not _makes_loss(one) for name in _names(one)}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and node.lineno <= line <= (node.end_lineno or 0)
        and isinstance(node.func, ast.Name)
        and node.func.id in made
    ]
    if len(calls) != 1:
        raise ValueError(f"no single call of a model in line {line}")
    return calls[0]


def _made(source: str, line: int) -> tuple[int, str, str]:
    """The line after which the model is what it will be, its name, and the indent there."""
    call = _call(source, line)
    assert isinstance(call.func, ast.Name)
    name = call.func.id
    body = _body_around(ast.parse(source), line)
    makers = [one for one in body if name in _names(one)]
    last = makers[-1]
    if len(makers) > 1 and any(name not in _read(one) for one in makers[1:]):
        raise ValueError(f"{name} is made more than once")
    if (last.end_lineno or 0) >= line:
        raise ValueError(f"{name} is made below its call")
    return last.end_lineno or 0, name, " " * last.col_offset


def _body_around(tree: ast.Module, line: int) -> Sequence[ast.stmt]:
    """The body of the innermost function around `line`, or that of the module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, key=lambda node: node.lineno).body if around else tree.body


def _names(one: ast.stmt) -> Iterator[str]:
    """What a statement of the body itself makes by `name = ...`."""
    if isinstance(one, ast.Assign):
        yield from (target.id for target in one.targets if isinstance(target, ast.Name))


def _makes_loss(one: ast.stmt) -> bool:
    """`criterion = nn.CrossEntropyLoss()`, whose call stands around the model's as a rule."""
    made = one.value if isinstance(one, ast.Assign) else None
    if not isinstance(made, ast.Call):
        return False
    name = made.func.attr if isinstance(made.func, ast.Attribute) else getattr(made.func, "id", "")
    return bool(name.endswith("Loss"))


def _read(one: ast.stmt) -> set[str]:
    return {
        node.id
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _block(source: str, line: int) -> Sequence[ast.stmt]:
    """The innermost list of statements of which one covers `line`."""
    block: Sequence[ast.stmt] = ast.parse(source).body
    while True:
        one = next((one for one in block if one.lineno <= line <= (one.end_lineno or 0)), None)
        if one is None:
            raise ValueError(f"no statement covers line {line}")
        bodies = [getattr(one, name, []) for name in ("body", "orelse", "finalbody")]
        inner = [body for body in bodies if _covers(body, line)]
        if not inner:
            return block
        block = inner[0]


def _covers(body: Sequence[ast.stmt], line: int) -> bool:
    return any(one.lineno <= line <= (one.end_lineno or 0) for one in body)


def _calls(one: ast.stmt, method: str) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
        for node in ast.walk(one)
    )


def _spans_lines(one: ast.stmt) -> bool:
    """Whether a text in it goes over several lines, whose blanks are part of it."""
    return any(
        isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno
        for node in ast.walk(one)
    )


def _wrapped(source: str, argument: ast.expr) -> str:
    if argument.lineno != argument.end_lineno or not isinstance(
        argument, ast.Name | ast.Subscript | ast.Attribute | ast.Call
    ):
        raise ValueError("the argument is no plain value on one line")
    lines = source.encode().split(b"\n")
    place = argument.end_col_offset or 0
    text = lines[argument.lineno - 1]
    lines[argument.lineno - 1] = text[:place] + f".contiguous({_LAYOUT})".encode() + text[place:]
    return b"\n".join(lines).decode()


def _inserted(source: str, after: int, text: str) -> str:
    lines = source.split("\n")
    lines.insert(after, text)
    return "\n".join(lines)


def _check_torch(source: str) -> None:
    if not any(
        isinstance(node, ast.Import)
        and any(name.name == "torch" and not name.asname for name in node.names)
        for node in ast.parse(source).body
    ):
        raise ValueError("the script has no `import torch` at its top")
