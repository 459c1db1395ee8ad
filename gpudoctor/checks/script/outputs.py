"""What a script does with a model's outputs: waits for them, or keeps gradients that nobody needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import info, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.script.source import Function, Loop, Script
from gpudoctor.checks.script.training import (
    Backward,
    assigned_in,
    backwards,
    methods,
    target,
    without_gradient,
)
from gpudoctor.model.finding import Finding, Severity

_TUNING = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"
_NO_GRAD = "https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation"
_SYNCS = ("item", "cpu", "tolist", "numpy")
# A loop that does one of these needs its gradients.
_NEEDS_GRADIENTS = {"backward", "requires_grad_", "grad", "retain_grad"}


def _root(node: ast.expr) -> str | None:
    """The name at the start of a chain: `a` in `a.eq(b).sum()[0]`."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return None
    return node.id


def _models(script: Script) -> set[str]:
    """Names that are used as models: trained, evaluated, or asked for their parameters."""
    found: set[str] = set()
    for method in ("parameters", "train", "eval"):
        found.update(name for _, name in methods(script, method) if name)
    return found


def _on_gpu(found: Backward, models: set[str]) -> set[str]:
    """Names in the loop whose values are computed on the GPU: the loss, outputs, what comes of them."""
    names: set[str] = {found.loss} if found.loss else set()
    assigned = assigned_in(found.loop)
    for _ in range(3):
        for name, values in assigned.items():
            if any(_comes_from(value, names, models) for value in values):
                names.add(name)
    return names


def _comes_from(value: ast.expr, names: set[str], models: set[str]) -> bool:
    inside = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    if any(isinstance(c.func, ast.Attribute) and c.func.attr in _SYNCS for c in inside):
        return False
    if any(target(call.func) in models for call in inside):
        return True
    return isinstance(value, ast.Call | ast.Subscript | ast.Attribute) and _root(value) in names


@check(
    "script.sync-every-step",
    title="The CPU waits for the GPU in every step",
    needs=("script",),
    tier="D",
    severity=Severity.INFO,
    sources=(_TUNING,),
)
def sync_every_step(ctx: CheckContext) -> Iterator[Finding]:
    """.item(), .cpu(), .tolist() and .numpy() wait until the GPU has computed the value. In every step
    that keeps the CPU from running ahead; every fiftieth step costs nothing."""
    script = ctx.the_script()
    if not script.uses_cuda:
        return
    models = _models(script)
    seen: set[int] = set()
    for found in backwards(script):
        if id(found.loop) in seen:
            continue
        seen.add(id(found.loop))
        waits = _waits(script, found, _on_gpu(found, models), models)
        if waits:
            yield info(
                script.where(waits[0]),
                f"{ast.unparse(waits[0])} makes the CPU wait for the GPU in every step",
                *(f"line {call.lineno}: {script.line(call)}" for call in waits),
                fix="Sum up detached tensors on the GPU, and take the value only when it is logged.",
            )


def _waits(script: Script, found: Backward, names: set[str], models: set[str]) -> list[ast.Call]:
    return [
        call
        for call in script.all_calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in _SYNCS
        and not call.args
        and (_root(call.func.value) in names or _comes_from(call.func.value, names, models))
        and found.loop in script.loops_around(call)
        and not script.conditional(call, found.loop)
    ]


@check(
    "script.evaluation-gradients",
    title="Evaluation that records gradients",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_NO_GRAD,),
)
def evaluation_gradients(ctx: CheckContext) -> Iterator[Finding]:
    """model.eval() changes dropout and batch norm only. Without torch.no_grad() or inference_mode() the
    evaluation keeps everything for a backward pass that never comes."""
    script = ctx.the_script()
    if _switched_off(script):
        return
    told: set[int] = set()
    for call, model in methods(script, "eval"):
        function = script.function_of(call)
        if model is None or (function and _wrapped(script, function)):
            continue
        for loop in _loops_after(script, call, model):
            if id(loop) not in told and _records(script, loop, model, function):
                told.add(id(loop))
                yield warning(
                    script.where(loop),
                    f"this loop evaluates {model} and records gradients for nothing",
                    f"line {call.lineno}: {script.line(call)}",
                    fix="Put the loop below `with torch.inference_mode():` (or torch.no_grad()).",
                )


def _switched_off(script: Script) -> bool:
    """Whether the script switches gradients off for good, or takes them by hand."""
    if any(True for _ in script.calls("torch.autograd.grad")):
        return True
    calls = script.calls("torch.set_grad_enabled", "torch.autograd.set_grad_enabled")
    return any(call.args for call in calls)


def _loops_after(script: Script, call: ast.Call, model: str) -> Iterator[Loop]:
    """Loops of the same function between `model.eval()` and the next `model.train()`."""
    function = script.function_of(call)
    trains = [
        other.lineno
        for other, name in methods(script, "train")
        if name == model and other.lineno > call.lineno
    ]
    end = min(trains, default=None)
    for node in script.nodes:
        if not isinstance(node, ast.For | ast.While) or script.function_of(node) is not function:
            continue
        if node.lineno > call.lineno and (end is None or node.lineno < end):
            yield node


def _records(script: Script, loop: Loop, model: str, function: Function | None) -> bool:
    inside = list(ast.walk(loop))
    if any(isinstance(node, ast.Attribute) and node.attr in _NEEDS_GRADIENTS for node in inside):
        return False
    runs = [
        node
        for node in inside
        if isinstance(node, ast.Call)
        and target(node.func) == model
        and script.function_of(node) is function
        and script.loops_around(node)[:1] == [loop]
    ]
    return bool(runs) and not any(without_gradient(script, run) for run in runs)


def _wrapped(script: Script, function: Function) -> bool:
    """Whether its callers run the function without gradients, or may: those of a method, or of a function
    that this file does not call, are not known."""
    if without_gradient(script, function.body[0]):
        return True
    if any(isinstance(above, ast.ClassDef) for above in script.ancestors(function)):
        return True
    uses = [
        node
        for node in script.nodes
        if isinstance(node, ast.Name)
        and node.id == function.name
        and isinstance(node.ctx, ast.Load)
    ]
    return not uses or any(without_gradient(script, use) for use in uses)
