"""CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER: what they hide, and what they renumber."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import error, info, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.host.visible_devices import VARIABLE, resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.visible import Standing, Token, TokenOutcome, Visibility

_GUIDE = (
    "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html"
)
_UNSURE = (
    "NVIDIA's documents do not say how CUDA reads this; gpudoctor cannot be sure of the result"
)
# Spellings that other programs know, and what CUDA wants instead.
_FOREIGN: tuple[tuple[str, str], ...] = (
    (r"^\s*all\s*$", "'all' is a word of NVIDIA_VISIBLE_DEVICES"),
    (r"^\s*(none|void)\s*$", "'none' and 'void' are words of NVIDIA_VISIBLE_DEVICES"),
    (r"NoDevFiles", "'NoDevFiles' was set by Slurm before 19.05: the job was given no GPU"),
    (r"cuda:\d", "'cuda:N' is torch's name of a device"),
    (r"^\s*\d+\s*-\s*\d+", "a range is not a list"),
    (r"^\s*\d+(\s*;\s*\d+)+", "the separator is a comma"),
    (r"^\s*\d+(\s+\d+)+\s*$", "the separator is a comma"),
    (r"[\"'\[\](){}]", "quotes and brackets do not belong into the value"),
)


def _rows(ctx: CheckContext) -> list[GpuRow]:
    return [GpuRow(device.facts, device.mig) for device in ctx.devices()]


def _visibility(ctx: CheckContext) -> Visibility:
    ctx.variable(VARIABLE)
    return resolve(ctx.environ, _rows(ctx))


def _unsure(standing: Standing | None) -> list[str]:
    return [_UNSURE] if standing is Standing.UNVERIFIED else []


@check(
    "visible.hides-all",
    title="CUDA_VISIBLE_DEVICES hides every GPU",
    needs=("gpus", "environment variables"),
    tier="A",
    severity=Severity.ERROR,
    sources=(_GUIDE, torch_issue(90543), torch_issue(9158)),
    after=("visible.foreign-syntax", "visible.duplicate", "visible.ambiguous"),
)
def hides_all(ctx: CheckContext) -> Iterator[Finding]:
    """The variable is set so that CUDA sees no GPU: it is empty, -1, or its first element names none."""
    answer = _visibility(ctx)
    if answer.visible:
        return
    first = answer.tokens[0]
    yield error(
        VARIABLE,
        f"{VARIABLE}={ctx.environ[VARIABLE]!r} hides all {len(ctx.devices())} GPUs",
        f"{first.text!r}: {first.reason}",
        *_unsure(answer.standing),
        fix="Unset it, or list the GPUs by index or by full UUID.",
        run=[f"unset {VARIABLE}", f"export {VARIABLE}=$(gpudoctor pick -n 1)"],
    )


def _ending(answer: Visibility) -> Token | None:
    return next((t for t in answer.tokens if t.outcome is TokenOutcome.ENDS), None)


@check(
    "visible.truncated",
    title="CUDA_VISIBLE_DEVICES ends earlier than it looks",
    needs=("gpus", "environment variables"),
    tier="B",
    severity=Severity.WARNING,
    sources=(_GUIDE,),
    after=("visible.foreign-syntax",),
)
def truncated(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA reads the list up to the first element that names no GPU and ignores the rest, without a word.
    An element -1 is used on purpose to end the list and is not reported when it is the last."""
    answer = _visibility(ctx)
    end = _ending(answer)
    if end is None or not answer.visible:
        return
    ignored = [t.text for t in answer.tokens if t.outcome is TokenOutcome.NOT_READ]
    if end.text.strip() == "-1" and not ignored:
        return
    also = f", and {', '.join(ignored)} after it" if ignored else ""
    yield warning(
        VARIABLE,
        f"{end.text!r} ends the list: CUDA ignores it{also}",
        f"{VARIABLE}={ctx.environ[VARIABLE]}: {end.reason}",
        f"visible: GPU {', '.join(str(v.nvml_index) for v in answer.visible)}",
        *_unsure(answer.standing),
        fix="Correct that element.",
        run=["gpudoctor visible"],
    )


@check(
    "visible.duplicate",
    title="CUDA_VISIBLE_DEVICES names a GPU twice",
    needs=("gpus", "environment variables"),
    tier="B",
    severity=Severity.ERROR,
    sources=(
        "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/cuda/__init__.py",
        "https://nvitop.readthedocs.io/en/latest/api/device.html",
    ),
)
def duplicate(ctx: CheckContext) -> Iterator[Finding]:
    """A GPU that is named twice makes the whole list void: CUDA was seen to show no GPU then, and torch
    counts none."""
    answer = _visibility(ctx)
    twice = next((t for t in answer.tokens if t.outcome is TokenOutcome.EMPTIES), None)
    if twice:
        yield error(
            VARIABLE,
            f"{twice.text!r} names a GPU a second time: no GPU at all is visible",
            f"{VARIABLE}={ctx.environ[VARIABLE]}: {twice.reason}",
            *_unsure(twice.standing),
            fix="Name each GPU once.",
            run=["gpudoctor visible"],
        )


@check(
    "visible.foreign-syntax",
    title="CUDA_VISIBLE_DEVICES in another program's notation",
    needs=("environment variables",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_GUIDE, torch_issue(84879)),
)
def foreign_syntax(ctx: CheckContext) -> Iterator[Finding]:
    """The value is written as another variable or program wants it: all, 0-3, cuda:0, quotes, blanks. CUDA
    knows only a list of indices or UUIDs with commas."""
    value = ctx.variable(VARIABLE)
    why = next((text for pattern, text in _FOREIGN if re.search(pattern, value)), None)
    if why is None:
        return
    wanted = _corrected(value)
    yield error(
        VARIABLE,
        f"{VARIABLE}={value!r} is not what CUDA reads: {why}",
        fix="Write a list of indices or UUIDs with commas, or unset the variable for all GPUs.",
        run=[f"export {VARIABLE}={wanted}" if wanted else f"unset {VARIABLE}"],
    )


def _corrected(value: str) -> str | None:
    """The list that was probably meant."""
    span = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value)
    if span and int(span[1]) <= int(span[2]) < int(span[1]) + 64:
        return ",".join(str(n) for n in range(int(span[1]), int(span[2]) + 1))
    if re.fullmatch(r"\s*(all|none|void|NoDevFiles)\s*", value):
        return None
    numbers = re.findall(r"\d+", value)
    plain = re.fullmatch(r"[\s\d,;\"'\[\](){}cuda:]*", value)
    return ",".join(dict.fromkeys(numbers)) if numbers and plain else None


@check(
    "visible.ambiguous",
    title="An abbreviated UUID in CUDA_VISIBLE_DEVICES",
    needs=("gpus", "environment variables"),
    tier="C",
    severity=Severity.ERROR,
    sources=(_GUIDE, issue("vllm-project/vllm", 51677)),
)
def ambiguous(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA accepts the beginning of a UUID if it fits one GPU only. NVML and programs that ask it with the
    variable's text (vLLM did) want the whole."""
    value = ctx.variable(VARIABLE)
    short = [part for part in value.split(",") if re.fullmatch(r"GPU-[0-9a-f-]{1,35}", part)]
    if not short:
        raise NotReportedError(f"{VARIABLE} holds no abbreviated UUID")
    uuids = [row.facts.uuid for row in _rows(ctx)]
    for part in short:
        fits = [uuid for uuid in uuids if uuid.startswith(part)]
        if len(fits) > 1:
            yield error(
                VARIABLE,
                f"{part} fits {len(fits)} GPUs, so CUDA ends the list there",
                *fits,
                fix="Write the full UUID.",
                run=["nvidia-smi -L"],
            )
        elif fits:
            yield info(
                VARIABLE,
                f"{part} is abbreviated: CUDA accepts it, other programs may not",
                fix="Write the full UUID.",
                run=[f"export {VARIABLE}={value.replace(part, fits[0])}"],
            )


@check(
    "visible.order",
    title="cuda:0 may be another GPU than nvidia-smi's 0",
    needs=("gpus", "environment variables"),
    uses=("python",),
    tier="A",
    severity=Severity.WARNING,
    sources=(_GUIDE, torch_issue(86539), issue("gpuopenanalytics/pynvml", 28)),
)
def order(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA puts the fastest GPU first, nvidia-smi goes by PCI address. On a machine with different GPUs the
    numbers then name different cards, unless CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    models = sorted({device.facts.name for device in ctx.devices()})
    if len(models) < 2 or ctx.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    moved = _moved(ctx)
    if moved is None:
        text, lines = "cuda:N may be another GPU than nvidia-smi's N", list(models)
    elif moved:
        text, lines = "cuda:N is another GPU than nvidia-smi's N", moved
    else:
        return
    yield warning(
        "CUDA_DEVICE_ORDER",
        f"this machine has different GPUs, and {text}",
        *lines,
        fix="Use nvidia-smi's order in CUDA too, or name GPUs by UUID.",
        run=["export CUDA_DEVICE_ORDER=PCI_BUS_ID"],
    )


def _moved(ctx: CheckContext) -> list[str] | None:
    """The ordinals that stand for another NVML index, as CUDA itself told; None if it was not asked."""
    told = ctx.probe.driver.devices if ctx.probe and ctx.probe.driver else ()
    if not told or VARIABLE in ctx.environ:
        return None
    index = {device.uuid: device.index for device in ctx.devices()}
    if any(device.uuid not in index for device in told):
        return None
    return [
        f"cuda:{device.ordinal} is nvidia-smi's {index[device.uuid or '']} ({device.name})"
        for device in told
        if index[device.uuid or ""] != device.ordinal
    ]
