"""The settings of torch's memory allocator, read as its own parser reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import error, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import minor, version
from gpudoctor.model.finding import Finding, Severity

_TORCH_CUDA = "https://docs.pytorch.org/docs/stable/notes/cuda.html"


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d+", text) else None


def _split_size(text: str) -> str | None:
    number = _whole(text)
    if number is None:
        return "is not a whole number of MiB"
    return "must be at least 20" if number < 20 else None


def _threshold(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return "is not a number"
    return None if 0 < number < 1 else "must lie between 0 and 1"


def _true_false(text: str) -> str | None:
    return None if text in ("True", "False") else "must be written True or False"


def _power_of_two(text: str) -> str | None:
    if text.startswith("["):
        return None
    number = _whole(text)
    if number is None or number < 1 or number & (number - 1):
        return "must be a power of 2"
    return None


# The allocator's keys, and what its parser refuses (tried with torch 2.13).
_ALLOCATOR: dict[str, Callable[[str], str | None]] = {
    "max_split_size_mb": _split_size,
    "garbage_collection_threshold": _threshold,
    "expandable_segments": _true_false,
    "roundup_power2_divisions": _power_of_two,
    "backend": lambda text: None if text in ("native", "cudaMallocAsync") else "is not a backend",
    "max_non_split_rounding_mb": lambda _: None,
    "release_lock_on_cudamalloc": lambda _: None,
    "release_lock_on_hipmalloc": lambda _: None,
    "pinned_use_cuda_host_register": lambda _: None,
    "pinned_use_hip_host_register": lambda _: None,
    "pinned_num_register_threads": lambda _: None,
    "pinned_use_background_threads": lambda _: None,
    "pinned_reserve_segment_size_mb": lambda _: None,
    "pinned_max_register_threads": lambda _: None,
    "graph_capture_record_stream_reuse": lambda _: None,
    "per_process_memory_fraction": lambda _: None,
    "use_cuda_host_register": lambda _: None,
}


def allocator_faults(value: str) -> Iterator[tuple[bool, str]]:
    """What is wrong with an allocator setting: (torch refuses it, why)."""
    # A comma inside brackets belongs to the value: `roundup_power2_divisions:[256:1,512:2]`.
    for part in re.split(r",(?![^\[]*\])", value):
        item = part.strip()
        if not item:
            continue
        key, colon, setting = (text.strip() for text in item.partition(":"))
        if not colon:
            yield True, f"{item!r} is not of the form key:value"
        elif key not in _ALLOCATOR:
            yield False, f"{key!r} is not a known key"
        elif why := _ALLOCATOR[key](setting):
            yield True, f"{key}:{setting} {why}"


@check(
    "settings.allocator",
    title="A setting of torch's memory allocator that it refuses",
    needs=("environment variables",),
    uses=("python",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_TORCH_CUDA, torch_issue(183387), issue("PriorLabs/TabPFN", 608)),
)
def allocator(ctx: CheckContext) -> Iterator[Finding]:
    """PYTORCH_ALLOC_CONF (the older name is PYTORCH_CUDA_ALLOC_CONF) is read at the first use of the GPU.
    A mistake in it does not stop `import torch`; it fires in the middle of the job."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    values = {name: ctx.environ[name] for name in names if ctx.environ.get(name)}
    if not values:
        raise NotReportedError("neither PYTORCH_ALLOC_CONF nor PYTORCH_CUDA_ALLOC_CONF is set")
    right = "export {}=expandable_segments:True,max_split_size_mb:128"
    for name, value in values.items():
        for refused, why in allocator_faults(value):
            yield (error if refused else warning)(
                name,
                f"{why}" + ("; torch stops at the first use of the GPU" if refused else ""),
                f"{name}={value}",
                fix="Correct it; an example of the form:",
                run=[right.format(name)],
            )
    if len(set(values.values())) > 1:
        yield warning(
            "PYTORCH_ALLOC_CONF",
            "PYTORCH_ALLOC_CONF and PYTORCH_CUDA_ALLOC_CONF are both set and differ",
            *(f"{name}={value}" for name, value in values.items()),
            fix="Keep one of them.",
            run=["unset PYTORCH_CUDA_ALLOC_CONF"],
        )
    yield from _new_name(ctx, values.get("PYTORCH_ALLOC_CONF"))


def _new_name(ctx: CheckContext, value: str | None) -> Iterator[Finding]:
    """What an older torch makes of the newer variable."""
    torch = ctx.probe.torch if ctx.probe else None
    if torch is None or value is None or "PYTORCH_CUDA_ALLOC_CONF" in ctx.environ:
        return
    if minor(torch.version) < (2, 8):
        text = f"torch {torch.version} does not know PYTORCH_ALLOC_CONF"
    elif version(torch.version)[:3] == (2, 9, 1) and "expandable_segments" in value:
        text = (
            f"torch {torch.version} is reported to ignore expandable_segments in PYTORCH_ALLOC_CONF"
        )
    else:
        return
    yield warning(
        "PYTORCH_ALLOC_CONF",
        text,
        fix="Use the older name.",
        run=[f"export PYTORCH_CUDA_ALLOC_CONF={value}"],
    )
