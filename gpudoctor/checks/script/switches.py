"""Switches that a script sets too late, against each other, or only by half."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import info, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.script.source import Script
from gpudoctor.checks.script.training import constant, keyword, target
from gpudoctor.model.finding import Finding, Severity

_REPRODUCE = "https://docs.pytorch.org/docs/stable/notes/randomness.html"
_GUIDE = (
    "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html"
)
# These start CUDA, after which the driver no longer reads CUDA_VISIBLE_DEVICES.
_STARTS_CUDA = frozenset(
    {
        "torch.cuda.is_available",
        "torch.cuda.init",
        "torch.cuda.current_device",
        "torch.cuda.set_device",
        "torch.cuda.get_device_name",
        "torch.cuda.get_device_properties",
        "torch.cuda.get_device_capability",
        "torch.cuda.synchronize",
        "torch.cuda.mem_get_info",
        "torch.cuda.get_rng_state",
        "torch.cuda.Stream",
        "torch.cuda.current_stream",
    }
)


def environment_writes(script: Script, name: str) -> Iterator[tuple[ast.AST, object]]:
    """Places that set the environment variable, with the value where it is a literal."""
    for node in script.nodes:
        if isinstance(node, ast.Assign):
            for each in node.targets:
                if _is_variable(script, each, name):
                    yield node, constant(node.value)
        elif isinstance(node, ast.Call) and _sets(script, node, name):
            yield node, constant(node.args[1])


def _sets(script: Script, call: ast.Call, name: str) -> bool:
    if len(call.args) < 2 or constant(call.args[0]) != name:
        return False
    return script.name(call.func) in ("os.putenv", "os.environ.setdefault")


def _is_variable(script: Script, node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and script.name(node.value) == "os.environ"
        and constant(node.slice) == name
    )


def _starts_cuda(script: Script, call: ast.Call) -> bool:
    if script.name(call.func) in _STARTS_CUDA:
        return True
    if not isinstance(call.func, ast.Attribute) or not script.uses("torch"):
        return False
    first = constant(call.args[0]) if call.args else None
    if call.func.attr == "to":
        return isinstance(first, str) and first.partition(":")[0] == "cuda"
    return call.func.attr == "cuda" and not call.keywords and script.name(call.func) is not None


@check(
    "script.visible-devices-late",
    title="CUDA_VISIBLE_DEVICES is set after CUDA was started",
    needs=("script",),
    tier="A",
    severity=Severity.WARNING,
    sources=(torch_issue(80876), torch_issue(95073), torch_issue(122085)),
)
def visible_devices_late(ctx: CheckContext) -> Iterator[Finding]:
    """The driver reads the variable once, when CUDA starts. torch.cuda.is_available() starts it (unless
    PYTORCH_NVML_BASED_CUDA_CHECK=1); setting the variable after that changes nothing."""
    script = ctx.the_script()
    for node, _ in environment_writes(script, "CUDA_VISIBLE_DEVICES"):
        line = getattr(node, "lineno", 0)
        earlier = [
            call
            for call in script.all_calls
            if call.lineno < line and _starts_cuda(script, call) and script.same_run(call, node)
        ]
        if earlier:
            yield warning(
                script.where(node),
                "CUDA_VISIBLE_DEVICES is set here, and CUDA was already started above: no effect",
                f"line {earlier[0].lineno} starts CUDA: {script.line(earlier[0])}",
                fix="Set it in the shell, or before the first call that uses CUDA.",
                run=[f"CUDA_VISIBLE_DEVICES=0 python {script.path}"],
            )


def _assignments(script: Script, name: str) -> Iterator[tuple[ast.Assign, object]]:
    for node in script.nodes:
        if isinstance(node, ast.Assign):
            for each in node.targets:
                if script.name(each) == name:
                    yield node, constant(node.value)


@check(
    "script.benchmark-deterministic",
    title="cudnn.benchmark and cudnn.deterministic are both on",
    needs=("script",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_REPRODUCE,),
)
def benchmark_deterministic(ctx: CheckContext) -> Iterator[Finding]:
    """benchmark tries algorithms and keeps the fastest, which may differ from run to run; deterministic
    asks for the same one each time. Together they cost time and give neither."""
    script = ctx.the_script()
    benchmark = [n for n, v in _assignments(script, "torch.backends.cudnn.benchmark") if v is True]
    steady = list(_assignments(script, "torch.backends.cudnn.deterministic"))
    for node in benchmark:
        both = [n for n, v in steady if v is True and _together(script, n, node)]
        if both:
            yield warning(
                script.where(node),
                "cudnn.benchmark and cudnn.deterministic are both switched on",
                f"line {both[0].lineno}: {script.line(both[0])}",
                f"line {node.lineno}: {script.line(node)}",
                fix="Keep benchmark for speed with fixed shapes, or deterministic for the same result "
                "in every run.",
            )


def _together(script: Script, first: ast.AST, second: ast.AST) -> bool:
    """In the same list of statements: what one branch sets need not meet what another sets."""
    return script.parents[first] is script.parents[second] and script.same_run(first, second)


@check(
    "script.determinism",
    title="Determinism by half",
    needs=("script",),
    tier="D",
    severity=Severity.WARNING,
    sources=(_REPRODUCE,),
)
def determinism(ctx: CheckContext) -> Iterator[Finding]:
    """torch.use_deterministic_algorithms(True) makes cuBLAS raise unless CUBLAS_WORKSPACE_CONFIG is set,
    and without a seed no two runs begin alike."""
    script = ctx.the_script()
    calls = [call for call in script.calls("torch.use_deterministic_algorithms") if call.args]
    if any(constant(call.args[0]) is not True for call in calls):
        # It is switched on and off again around some part, by somebody who knows it.
        return
    calls = [call for call in calls if not script.conditional(call, _scope(script, call))]
    strings = {node.value for node in script.nodes if isinstance(node, ast.Constant)}
    for call in calls:
        is_set = "CUBLAS_WORKSPACE_CONFIG" in strings or "CUBLAS_WORKSPACE_CONFIG" in ctx.environ
        lenient = constant(keyword(call, "warn_only")) is True
        if script.uses_cuda and not is_set and not lenient:
            yield warning(
                script.where(call),
                "deterministic algorithms are asked for, and CUBLAS_WORKSPACE_CONFIG is not set: "
                "matrix products on the GPU raise an error",
                fix="Set it before CUDA starts.",
                run=["export CUBLAS_WORKSPACE_CONFIG=:4096:8"],
            )
        if not _seeds(script):
            yield info(
                script.where(call),
                "deterministic algorithms are asked for, and nothing is seeded in this file",
                fix="Seed torch, NumPy and random at the start: torch.manual_seed(0).",
            )


def _seeds(script: Script) -> bool:
    names = (script.name(call.func) or _last(call) for call in script.all_calls)
    return any("seed" in (name or "").rpartition(".")[2].lower() for name in names)


def _last(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else target(call.func)


@check(
    "script.launch-blocking",
    title="CUDA_LAUNCH_BLOCKING is set in the script",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_GUIDE,),
)
def launch_blocking(ctx: CheckContext) -> Iterator[Finding]:
    """The CPU then waits for every kernel. It is a means to find a fault."""
    script = ctx.the_script()
    for node, value in environment_writes(script, "CUDA_LAUNCH_BLOCKING"):
        function = script.function_of(node)
        # A helper may set it on purpose, for determinism or debugging; the script's own course may not.
        own = function is None or function.name in ("main", "train", "run", "setup")
        if value == "1" and own and not script.conditional(node, _scope(script, node)):
            yield warning(
                script.where(node),
                "CUDA_LAUNCH_BLOCKING is left on: the CPU waits for every kernel",
                fix="Remove the line when the fault is found.",
            )


def _scope(script: Script, node: ast.AST) -> ast.AST:
    return script.function_of(node) or script.tree


@check(
    "script.anomaly-detection",
    title="Anomaly detection is left on",
    needs=("script",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection",),
)
def anomaly_detection(ctx: CheckContext) -> Iterator[Finding]:
    """torch.autograd.set_detect_anomaly(True) records a traceback for every operation and checks every
    gradient for NaN, which slows training down several times over."""
    script = ctx.the_script()
    for call in script.calls("torch.autograd.set_detect_anomaly"):
        on = constant(call.args[0] if call.args else keyword(call, "mode")) is True
        if on and not script.conditional(call, _scope(script, call)):
            yield warning(
                script.where(call),
                "anomaly detection is on for the whole run",
                fix="Remove it when the NaN is found; it is for debugging only.",
            )


@check(
    "script.tf32-mixed",
    title="The old and the new switch for TF32 are mixed",
    needs=("script",),
    tier="D",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere",),
)
def tf32_mixed(ctx: CheckContext) -> Iterator[Finding]:
    """allow_tf32 and the newer fp32_precision set the same thing. After both were used, reading the old
    one raises a RuntimeError (torch 2.9 and newer)."""
    script = ctx.the_script()
    old = "torch.backends.cuda.matmul.allow_tf32", "torch.backends.cudnn.allow_tf32"
    new = (
        "torch.backends.fp32_precision",
        "torch.backends.cuda.matmul.fp32_precision",
        "torch.backends.cudnn.fp32_precision",
        "torch.backends.cudnn.conv.fp32_precision",
    )
    olds = [node for name in old for node, _ in _assignments(script, name)]
    news = [node for name in new for node, _ in _assignments(script, name)]
    for node in news:
        both = [other for other in olds if _together(script, other, node)]
        if both:
            yield warning(
                script.where(node),
                "fp32_precision and allow_tf32 are both set",
                f"line {both[0].lineno}: {script.line(both[0])}",
                fix="Use fp32_precision alone on torch 2.9 and newer, allow_tf32 alone on older ones.",
            )
            return
