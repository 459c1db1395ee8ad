"""How a script loads its data and its checkpoints, and how it spreads over GPUs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import info, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.script.source import Script
from gpudoctor.checks.script.training import constant, keyword, made_by, methods, open_ended, target
from gpudoctor.model.finding import Finding, Severity

_DATA = "https://docs.pytorch.org/docs/stable/data.html"
_TUNING = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"
_LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")
_IN_MEMORY = "torch.utils.data.TensorDataset"
_DDP = (
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
)
_SAMPLERS = (
    "torch.utils.data.DistributedSampler",
    "torch.utils.data.distributed.DistributedSampler",
)
# The position of num_workers and of pin_memory among DataLoader's arguments.
_WORKERS_AT, _PIN_AT = 5, 7


def _loaders(script: Script) -> Iterator[ast.Call]:
    """DataLoaders whose arguments can all be seen, over data that does not lie in memory anyway."""
    in_memory = made_by(script, _IN_MEMORY)
    for call in script.calls(*_LOADERS):
        dataset = call.args[0] if call.args else keyword(call, "dataset")
        made = script.name(dataset.func) if isinstance(dataset, ast.Call) else None
        direct = made in (_IN_MEMORY, "range")
        if open_ended(call) or direct or (dataset is not None and target(dataset) in in_memory):
            continue
        yield call


def _argument(call: ast.Call, name: str, position: int) -> ast.expr | None:
    return call.args[position] if len(call.args) > position else keyword(call, name)


@check(
    "script.loader-workers",
    title="A DataLoader without workers feeds a GPU",
    needs=("script",),
    tier="D",
    severity=Severity.INFO,
    sources=(_DATA, _TUNING),
)
def loader_workers(ctx: CheckContext) -> Iterator[Finding]:
    """With num_workers=0 the training process itself loads each batch while the GPU waits. Pinned memory
    makes the copy to the GPU run beside the computing."""
    script = ctx.the_script()
    if not script.uses_cuda:
        return
    alone = [call for call in _loaders(script) if _loads_alone(call)]
    if alone:
        pins = all(_argument(call, "pin_memory", _PIN_AT) is not None for call in alone)
        yield info(
            script.where(alone[0]),
            "the training process loads its own batches (num_workers=0)"
            + ("" if pins else " and does not pin their memory"),
            *(f"line {call.lineno}: {script.line(call)}" for call in alone),
            fix="Give the DataLoader workers (start with 4 for each GPU), pin_memory=True, and "
            "persistent_workers=True when epochs are short.",
        )


def _loads_alone(call: ast.Call) -> bool:
    workers = _argument(call, "num_workers", _WORKERS_AT)
    return workers is None or constant(workers) == 0


@check(
    "script.data-parallel",
    title="nn.DataParallel",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html",
        "https://docs.pytorch.org/tutorials/intermediate/ddp_tutorial.html",
    ),
)
def data_parallel(ctx: CheckContext) -> Iterator[Finding]:
    """DataParallel copies the model to all GPUs in every step and runs them from the threads of one
    process. PyTorch recommends DistributedDataParallel, even on a single machine."""
    script = ctx.the_script()
    for call in script.calls("torch.nn.DataParallel", "torch.nn.parallel.DataParallel"):
        yield warning(
            script.where(call),
            "nn.DataParallel is slower than DistributedDataParallel, on one machine too",
            script.line(call),
            fix="Use DistributedDataParallel with one process for each GPU.",
            run=["torchrun --standalone --nproc-per-node=gpu " + script.path],
        )


@check(
    "script.distributed-sampler",
    title="Every rank reads the same data",
    needs=("script",),
    tier="B",
    severity=Severity.WARNING,
    sources=(
        "https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler",
    ),
)
def distributed_sampler(ctx: CheckContext) -> Iterator[Finding]:
    """With DistributedDataParallel each rank must read its own share of the data. Without a
    DistributedSampler all ranks read everything; without set_epoch every epoch has the same order."""
    script = ctx.the_script()
    if not any(True for _ in script.calls(*_DDP)):
        return
    samplers = list(script.calls(*_SAMPLERS))
    if samplers:
        shuffled = [c for c in samplers if constant(keyword(c, "shuffle")) is not False]
        epochs = [call for call, _ in methods(script, "set_epoch")]
        hidden = any(open_ended(call) for call in shuffled)
        if shuffled and not epochs and not hidden and _has_epochs(script):
            yield warning(
                script.where(shuffled[0]),
                "set_epoch is never called: each epoch shuffles in the same order",
                fix="Call sampler.set_epoch(epoch) at the start of each epoch.",
            )
        return
    for call in _loaders(script):
        chosen = keyword(call, "sampler") or keyword(call, "batch_sampler")
        if constant(keyword(call, "shuffle")) is True and chosen is None:
            yield warning(
                script.where(call),
                "with DistributedDataParallel every rank reads all of this data",
                script.line(call),
                fix="Give it sampler=DistributedSampler(dataset) in place of shuffle=True.",
            )


def _has_epochs(script: Script) -> bool:
    return any(
        isinstance(node, ast.For) and "epoch" in (target(node.target) or "").lower()
        for node in script.nodes
    )


@check(
    "script.map-location",
    title="A checkpoint goes to the GPU that it was saved from",
    needs=("script",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/generated/torch.load.html",),
)
def map_location(ctx: CheckContext) -> Iterator[Finding]:
    """torch.load puts tensors back on the device that they were saved from: all ranks load to cuda:0, and
    without that GPU loading fails."""
    script = ctx.the_script()
    if not script.uses_cuda:
        return
    ranks = script.uses("torch.distributed") or any(True for _ in script.calls(*_DDP))
    states = _state_names(script)
    for call in script.calls("torch.load"):
        if open_ended(call) or len(call.args) > 1 or keyword(call, "map_location") is not None:
            continue
        source = target(call.args[0]) if call.args else None
        if not _is_state(script, call, states) or source in made_by(script, "io.BytesIO"):
            continue
        yield (warning if ranks else info)(
            script.where(call),
            "torch.load without map_location: the tensors go to the GPU that they were saved from",
            script.line(call),
            fix='Give map_location="cpu"; load_state_dict then copies to where the model is.',
        )


def _state_names(script: Script) -> set[str]:
    """Names that are handed, whole or in part, to load_state_dict."""
    names: set[str] = set()
    for call, owner in methods(script, "load_state_dict"):
        if _of_numbers(owner):
            continue
        first = call.args[0] if call.args else None
        while isinstance(first, ast.Subscript):
            first = first.value
        text = target(first) if first is not None else None
        if text:
            names.add(text)
    return names


def _of_numbers(owner: str | None) -> bool:
    """Whether it is a scaler or a scheduler, whose state is plain numbers that are on no device."""
    return any(word in (owner or "").lower() for word in ("scaler", "sched"))


def _is_state(script: Script, call: ast.Call, states: set[str]) -> bool:
    statement = script.statement_of(call)
    if isinstance(statement, ast.Assign) and statement.value is call:
        return any(target(each) in states for each in statement.targets)
    return any(
        isinstance(above, ast.Call)
        and isinstance(above.func, ast.Attribute)
        and above.func.attr == "load_state_dict"
        and not _of_numbers(target(above.func.value))
        for above in script.ancestors(call)
    )
