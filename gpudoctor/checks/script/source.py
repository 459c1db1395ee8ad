"""A script as its syntax tree, with the questions that the rules ask of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gpudoctor.errors import GpuDoctorError

Function = ast.FunctionDef | ast.AsyncFunctionDef
_LINE = 100
Loop = ast.For | ast.AsyncFor | ast.While
_Branching = ast.If | ast.IfExp | ast.Match | ast.ExceptHandler | ast.BoolOp


@dataclass(frozen=True)
class Script:
    """A parsed script. Names are followed through its imports: `nn.DataParallel` is torch.nn's."""

    path: str
    tree: ast.Module

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local name → full dotted name, for every import in the file."""
        names: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.partition(".")[0]
                    names[local] = alias.name if alias.asname else local
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return names

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Each node's parent."""
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def name(self, node: ast.AST) -> str | None:
        """The dotted name that an expression stands for, imports resolved; None if it is not a name."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.name(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Calls of these full names."""
        wanted = frozenset(names)
        for node in self.all_calls:
            if self.name(node.func) in wanted:
                yield node

    @cached_property
    def all_calls(self) -> tuple[ast.Call, ...]:
        """All calls, in the order of the text."""
        found = [node for node in self.nodes if isinstance(node, ast.Call)]
        return tuple(sorted(found, key=lambda node: (node.lineno, node.col_offset)))

    def uses(self, prefix: str) -> bool:
        """Whether a module of this name is imported."""
        return any(
            name == prefix or name.startswith(prefix + ".") for name in self.imports.values()
        )

    @cached_property
    def uses_cuda(self) -> bool:
        """Whether the text itself moves work to a GPU: `.cuda()`, `"cuda"`, `torch.cuda.…`."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and node.attr == "cuda":
                return True
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.partition(":")[0] == "cuda":
                return True
        return False

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around `node`, the nearest first."""
        current = self.parents.get(node)
        while current is not None:
            yield current
            current = self.parents.get(current)

    def function_of(self, node: ast.AST) -> Function | None:
        """The function whose body holds `node`; None at the top of the file."""
        return next((a for a in self.ancestors(node) if isinstance(a, Function)), None)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The statement that holds `node`."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def loops_around(self, node: ast.AST) -> list[Loop]:
        """The loops whose bodies run `node` again and again, the nearest first."""
        found: list[Loop] = []
        below = node
        for above in self.ancestors(node):
            if isinstance(above, Function | ast.Lambda | ast.ClassDef):
                break
            if isinstance(above, Loop) and below in above.body:
                found.append(above)
            below = above
        return found

    def conditional(self, node: ast.AST, within: ast.AST) -> bool:
        """Whether `node` runs only sometimes when `within` runs: below an `if`, `try` handler, `match`."""
        below = node
        for above in self.ancestors(node):
            if above is within:
                return False
            if isinstance(above, _Branching) and below is not _always(above):
                return True
            below = above
        return below is not within

    def same_run(self, first: ast.AST, second: ast.AST) -> bool:
        """Whether one run of one function can reach both: not in two branches, not in two functions."""
        if self.function_of(first) is not self.function_of(second):
            return False
        around = {id(node): child for child, node in self._chain(first)}
        for child, node in self._chain(second):
            if id(node) in around:
                return not self._two_branches(node, around[id(node)], child)
        return True

    def _chain(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        below = node
        for above in self.ancestors(node):
            yield below, above
            below = above

    @staticmethod
    def _two_branches(node: ast.AST, first: ast.AST, second: ast.AST) -> bool:
        if isinstance(node, ast.If | ast.IfExp):
            body = node.body if isinstance(node.body, list) else [node.body]
            return (first in body) != (second in body)
        if isinstance(node, ast.Try):
            in_handlers = [part in node.handlers for part in (first, second)]
            return in_handlers[0] != in_handlers[1] or (all(in_handlers) and first is not second)
        return isinstance(node, ast.Match) and first is not second

    def where(self, node: ast.AST) -> str:
        """The place as a finding names it, `train.py:12`."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"

    def line(self, node: ast.AST) -> str:
        """The first line of the statement that holds `node`, as it is written in a normal form."""
        written = ast.unparse(self.statement_of(node)).splitlines()[0]
        return written if len(written) <= _LINE else written[: _LINE - 1] + "…"


def _always(branching: ast.AST) -> ast.AST | None:
    """The part that runs whichever way it goes: what an `if` asks, the first of `a and b`."""
    match branching:
        case ast.If() | ast.IfExp():
            return branching.test
        case ast.Match():
            return branching.subject
        case ast.BoolOp():
            return branching.values[0]
    return None


def parse(path: Path) -> Script:
    """The script at `path`.

    Raises:
        GpuDoctorError: it cannot be read, or is not Python that this interpreter can parse.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise GpuDoctorError(
            f"{path} cannot be read", cause=error.strerror, hint="Give the path of a Python script."
        ) from error
    try:
        return Script(str(path), ast.parse(source, filename=str(path)))
    except (SyntaxError, ValueError) as error:
        where = (
            f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        )
        raise GpuDoctorError(
            f"{path} is not valid Python",
            cause=where,
            hint=f"Try: python -m py_compile {path}",
        ) from error
