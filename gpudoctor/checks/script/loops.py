"""The training and evaluation loops of a script: what costs memory, time or correctness in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.script.source import Loop, Script
from gpudoctor.checks.script.training import (
    assigned_in,
    backwards,
    constant,
    keyword,
    methods,
    optimizers,
    schedulers,
    target,
    without_gradient,
)
from gpudoctor.model.finding import Finding, Severity

_FAQ = "https://docs.pytorch.org/docs/stable/notes/faq.html"
_OPTIM = "https://docs.pytorch.org/docs/stable/optim.html"


def _bare(node: ast.expr, loss: str) -> bool:
    """Whether the expression is the loss itself, or it times or by something: still in the graph."""
    if target(node) == loss:
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        return _bare(node.left, loss) or _bare(node.right, loss)
    return False


def _detached(script: Script, loop: Loop, loss: str) -> bool:
    """Whether the loop turns the loss into a plain value under its own name."""
    values = ("item", "detach", "cpu", "numpy", "tolist", "clone")
    for value in assigned_in(loop).get(loss, []):
        if not isinstance(value, ast.Call):
            continue
        if isinstance(value.func, ast.Attribute) and value.func.attr in values:
            return True
        if script.name(value.func) == "float":
            return True
    return False


@check(
    "script.loss-accumulated",
    title="A loss is summed up with its graph",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_FAQ,),
)
def loss_accumulated(ctx: CheckContext) -> Iterator[Finding]:
    """`total += loss` keeps the autograd history of every step alive, so that memory grows until it is
    out. The value alone is wanted."""
    script = ctx.the_script()
    for found in backwards(script):
        if found.loss is None or _detached(script, found.loop, found.loss):
            continue
        # What goes through backward() itself, or is set anew in the loop, does not grow for ever.
        harmless = {name for _, name in methods(script, "backward")} | assigned_in(
            found.loop
        ).keys()
        for node in ast.walk(found.loop):
            kept = _keeps(node, found.loss)
            if kept is None or kept in harmless or without_gradient(script, node):
                continue
            yield warning(
                script.where(node),
                f"{kept} keeps the graph of every step's {found.loss}: memory grows with each step",
                script.line(node),
                fix=f"Take the value: {found.loss}.item(), or {found.loss}.detach() to stay on the GPU.",
            )


def _keeps(node: ast.AST, loss: str) -> str | None:
    """The name in which the loss is collected by this node, None if it is not."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return target(node.target) if _bare(node.value, loss) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    appended = node.func.attr == "append" and len(node.args) == 1
    return target(node.func.value) if appended and target(node.args[0]) == loss else None


@check(
    "script.empty-cache",
    title="The memory cache is emptied in every step",
    needs=("script",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/notes/cuda.html#memory-management",),
)
def empty_cache(ctx: CheckContext) -> Iterator[Finding]:
    """torch.cuda.empty_cache() gives memory back to the driver that the next step asks for again. It waits
    for the GPU and frees nothing that torch itself could not use."""
    script = ctx.the_script()
    loops = {id(found.loop) for found in backwards(script)}
    for call in script.calls("torch.cuda.empty_cache"):
        around = script.loops_around(call)
        if around and id(around[0]) in loops and not script.conditional(call, around[0]):
            yield warning(
                script.where(call),
                "the memory cache is emptied in every training step",
                fix="Remove it; where memory is fragmented, set expandable_segments:True.",
                run=["export PYTORCH_ALLOC_CONF=expandable_segments:True"],
            )


@check(
    "script.retain-graph",
    title="The graph is kept for a backward pass that does not come",
    needs=("script",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html",),
)
def retain_graph(ctx: CheckContext) -> Iterator[Finding]:
    """retain_graph=True keeps all intermediate results after the backward pass. It is needed for a second
    pass through the same graph, of which there is none in this loop."""
    script = ctx.the_script()
    found = backwards(script)
    gradients = any(True for _ in script.calls("torch.autograd.grad"))
    for one in found:
        others = [b for b in found if b.call is not one.call and b.loop is one.loop]
        # A loss from outside of the loop goes through the same graph again and again, on purpose.
        made_here = one.loss is not None and one.loss in assigned_in(one.loop)
        kept = made_here and constant(keyword(one.call, "retain_graph")) is True
        if kept and not others and not gradients and len(script.loops_around(one.call)) <= 2:
            yield warning(
                script.where(one.call),
                "retain_graph=True, and there is no second backward pass in this loop",
                script.line(one.call),
                fix="Leave it out. If torch then raises, a tensor of an earlier step is still in the "
                "graph: detach it.",
            )


@check(
    "script.zero-grad",
    title="Gradients are never reset",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_OPTIM,),
)
def zero_grad(ctx: CheckContext) -> Iterator[Finding]:
    """backward() adds to the gradients that are there. Without zero_grad() each step uses the sum of all
    steps before it."""
    script = ctx.the_script()
    resets = any(
        isinstance(node, ast.Attribute)
        and (node.attr == "zero_grad" or (node.attr == "grad" and isinstance(node.ctx, ast.Store)))
        for node in script.nodes
    )
    if resets or any(True for _ in script.calls("torch.autograd.grad")):
        return
    known = optimizers(script)
    for found in (one for one in backwards(script) if one.loss is not None):
        steps = [
            call
            for call, name in methods(script, "step")
            if name in known - assigned_in(found.loop).keys()
            and found.loop in script.loops_around(call)
        ]
        if steps:
            yield warning(
                script.where(steps[0]),
                "the optimizer steps in this loop, and nothing resets the gradients",
                f"line {found.call.lineno}: {script.line(found.call)}",
                fix="Call optimizer.zero_grad() once in each step, before backward().",
            )
            return


@check(
    "script.scheduler-order",
    title="The scheduler steps before the optimizer",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_OPTIM,),
)
def scheduler_order(ctx: CheckContext) -> Iterator[Finding]:
    """Since torch 1.1 the scheduler's step belongs after the optimizer's. Before it, the first value of
    the schedule is skipped."""
    script = ctx.the_script()
    rates, known = schedulers(script), optimizers(script)
    for call, name in methods(script, "step"):
        loops = script.loops_around(call)
        if name not in rates or not loops or script.conditional(call, loops[0]):
            continue
        inside = [
            other
            for other, of in methods(script, "step")
            if of in known and loops[0] in script.loops_around(other)
        ]
        if inside and all(other.lineno > call.lineno for other in inside):
            yield warning(
                script.where(call),
                f"{name}.step() comes before the optimizer's step in the loop",
                f"line {inside[0].lineno}: {script.line(inside[0])}",
                fix="Move it after the optimizer's step (or, once an epoch, to the end of the epoch).",
            )
