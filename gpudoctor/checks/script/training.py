"""What a script's training loop is made of: optimizers, schedulers, the backward pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gpudoctor.checks.script.source import Loop, Script

OPTIMIZERS = "torch.optim."
SCHEDULERS = "torch.optim.lr_scheduler."
NO_GRAD = frozenset(
    {
        "torch.no_grad",
        "torch.inference_mode",
        "torch.autograd.no_grad",
        "torch.autograd.inference_mode",
        "torch.set_grad_enabled",
        "torch.autograd.set_grad_enabled",
    }
)


@dataclass(frozen=True, slots=True)
class Backward:
    """A call `loss.backward()` in a loop. `loss` is the name's text, None where it is an expression."""

    call: ast.Call
    loop: Loop
    loss: str | None


def target(node: ast.AST) -> str | None:
    """The text of a name or of a dotted name (`self.optimizer`); None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = target(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def methods(script: Script, name: str) -> Iterator[tuple[ast.Call, str | None]]:
    """Calls of a method of this name, with the text of the object."""
    for call in script.all_calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == name:
            yield call, target(call.func.value)


def backwards(script: Script) -> list[Backward]:
    """The backward passes in loops, each with its nearest loop."""
    found = []
    for call, loss in methods(script, "backward"):
        loops = script.loops_around(call)
        if loops:
            found.append(Backward(call, loops[0], loss))
    return found


def made_by(script: Script, prefix: str) -> set[str]:
    """Names that are assigned from a call of something below `prefix`, such as an optimizer."""
    names: set[str] = set()
    for node in script.nodes:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
            continue
        called = script.name(node.value.func)
        if called is None or not called.startswith(prefix):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names.update(text for text in map(target, targets) if text)
    return names


def optimizers(script: Script) -> set[str]:
    """Names that hold an optimizer of torch."""
    return made_by(script, OPTIMIZERS) - schedulers(script)


def schedulers(script: Script) -> set[str]:
    """Names that hold a learning-rate scheduler of torch."""
    return made_by(script, SCHEDULERS)


def assigned_in(loop: Loop) -> dict[str, list[ast.expr]]:
    """Names that the loop assigns, with what is assigned."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(loop):
        if isinstance(node, ast.Assign):
            for each in node.targets:
                parts = each.elts if isinstance(each, ast.Tuple) else [each]
                for part in parts:
                    text = target(part)
                    if text:
                        found.setdefault(text, []).append(node.value)
    return found


def without_gradient(script: Script, node: ast.AST) -> bool:
    """Whether `node` runs below no_grad, inference_mode or set_grad_enabled."""
    for above in script.ancestors(node):
        if isinstance(above, ast.With | ast.AsyncWith) and any(
            _disables(script, item.context_expr) for item in above.items
        ):
            return True
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            _disables(script, item) for item in above.decorator_list
        ):
            return True
    return False


def _disables(script: Script, node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    name = script.name(called)
    # A project's own wrapper, such as smart_inference_mode, says by its name what it does.
    return name in NO_GRAD or any(word in (name or "") for word in ("no_grad", "inference_mode"))


def constant(node: ast.AST | None) -> object:
    """The value of a literal; None for anything else."""
    return node.value if isinstance(node, ast.Constant) else None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The argument that is given by this name."""
    return next((item.value for item in call.keywords if item.arg == name), None)


def open_ended(call: ast.Call) -> bool:
    """Whether the call passes on arguments that cannot be seen here (`*args`, `**options`)."""
    starred = any(isinstance(item, ast.Starred) for item in call.args)
    return starred or any(item.arg is None for item in call.keywords)
