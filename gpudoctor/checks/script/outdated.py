"""Calls that newer versions of torch have removed or deprecated."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import info, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.script.source import Script
from gpudoctor.checks.script.training import methods, target
from gpudoctor.model.finding import Finding, Severity

_RELEASES = "https://github.com/pytorch/pytorch/releases"
# Full name of what is called → what to write in its place.
_REMOVED = {
    "torch.solve": "torch.linalg.solve",
    "torch.symeig": "torch.linalg.eigh",
    "torch.eig": "torch.linalg.eig",
    "torch.lstsq": "torch.linalg.lstsq",
    "torch.matrix_rank": "torch.linalg.matrix_rank",
    "apex.amp.initialize": "torch.amp.autocast and torch.amp.GradScaler",
    "apex.amp.scale_loss": "torch.amp.GradScaler",
}
_DEPRECATED = {
    "torch.set_default_tensor_type": "torch.set_default_dtype and torch.set_default_device",
    "torch.autograd.Variable": "the tensor itself; Variable does nothing since torch 0.4",
    "torch.cuda.amp.autocast": 'torch.amp.autocast("cuda")',
    "torch.cuda.amp.GradScaler": 'torch.amp.GradScaler("cuda")',
    "torch.cpu.amp.autocast": 'torch.amp.autocast("cpu")',
    "torch.nn.utils.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
    "torch.nn.utils.clip_grad.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
}
_PROFILERS = ("torch.autograd.profiler.profile", "torch.profiler.profile")


@check(
    "script.removed",
    title="A call that newer versions no longer have",
    needs=("script",),
    tier="C",
    severity=Severity.WARNING,
    sources=(_RELEASES, "https://github.com/NVIDIA/apex"),
)
def removed(ctx: CheckContext) -> Iterator[Finding]:
    """The script calls something that was removed from torch, or apex's mixed precision, which its authors
    no longer maintain. It works only with old versions."""
    script = ctx.the_script()
    for call in script.calls(*_REMOVED):
        name = script.name(call.func) or ""
        if name.startswith("apex.") and _optional(script):
            continue
        yield warning(
            script.where(call),
            f"{name} is gone from current versions",
            script.line(call),
            fix=f"Use {_REMOVED[name]}.",
        )
    for call, of in methods(script, "next"):
        if of is not None and of in _iterators(script.nodes) and not call.args:
            yield warning(
                script.where(call),
                f"{of}.next() fails: iterators of a DataLoader have no method next",
                fix=f"Write next({of}).",
            )
    for node in script.nodes:
        if isinstance(node, ast.ImportFrom | ast.Import) and _bottleneck(node):
            yield warning(
                script.where(node),
                "torch.utils.bottleneck is no longer maintained",
                fix="Profile with torch.profiler.",
                run=[f"gpudoctor profile {script.path}"],
            )


def _handles_both(script: Script, name: str) -> bool:
    """Whether the file uses torch.amp too, and the old name only for an old torch."""
    newer = "torch.amp." + name.rpartition(".")[2]
    return ".amp." in name and any(script.name(node) == newer for node in script.nodes)


def _optional(script: Script) -> bool:
    """Whether apex is imported in a `try`, by a script that gets along without it."""
    return any(
        isinstance(node, ast.Import | ast.ImportFrom)
        and "apex" in ast.unparse(node)
        and any(isinstance(above, ast.Try) for above in script.ancestors(node))
        for node in script.nodes
    )


def _iterators(nodes: tuple[ast.AST, ...]) -> set[str]:
    """Names that are assigned from iter(…)."""
    return {
        text
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and target(node.value.func) == "iter"
        for each in node.targets
        if (text := target(each))
    }


def _bottleneck(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("torch.utils.bottleneck") for alias in node.names)
    module = node.module or ""
    return module.startswith("torch.utils.bottleneck") or (
        module == "torch.utils" and any(alias.name == "bottleneck" for alias in node.names)
    )


@check(
    "script.deprecated",
    title="A deprecated call",
    needs=("script",),
    tier="I",
    severity=Severity.INFO,
    sources=(_RELEASES,),
)
def deprecated(ctx: CheckContext) -> Iterator[Finding]:
    """The script calls something that torch warns of and will remove."""
    script = ctx.the_script()
    seen: set[str] = set()
    for call in script.calls(*_DEPRECATED):
        name = script.name(call.func) or ""
        if name in seen or _handles_both(script, name):
            continue
        seen.add(name)
        yield info(
            script.where(call),
            f"{name} is deprecated",
            script.line(call),
            fix=f"Use {_DEPRECATED[name]}.",
        )
    for call in script.calls(*_PROFILERS):
        if any(item.arg == "use_cuda" for item in call.keywords):
            yield info(
                script.where(call),
                "the profiler's argument use_cuda is deprecated",
                script.line(call),
                fix="Use activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA] of torch.profiler.",
            )
