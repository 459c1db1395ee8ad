"""The settings that can be tried on a script: `cudnn-benchmark,num-workers=0..8,prefetch=4`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpudoctor.errors import GpuDoctorError

WORKERS = "num-workers"
# Not `compile`: it may take minutes before its first step.
DEFAULT = (
    "num-workers=0..8,pin-memory,prefetch=4,persistent-workers,fused-optimizer,"
    "channels-last,amp,cudnn-benchmark,tf32,deterministic"
)
_RANGE = re.compile(r"(\d+)(?:\.\.(\d+))?")
_CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One change. `text` is the edit in words; `line` is a line of code that does it anywhere."""

    name: str
    changes: Mapping[str, Any]
    text: str
    line: str | None = None
    needs_cuda: bool = False
    needs_loader: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


BASELINE = Setting("unchanged", {"observe": True}, "nothing")


def workers(count: int) -> Setting:
    """Every DataLoader with so many worker processes."""
    text = f"num_workers={count} in DataLoader(...)"
    return Setting(f"{WORKERS}={count}", {"num_workers": count}, text, needs_loader=True)


def _loader(name: str, argument: str, value: Any, *, needs_cuda: bool = False) -> Setting:
    text = f"{argument}={value} in DataLoader(...)"
    return Setting(name, {argument: value}, text, needs_cuda=needs_cuda, needs_loader=True)


def _prefetch(value: int) -> Setting:
    return _loader(f"prefetch={value}", "prefetch_factor", value)


_SIMPLE: dict[str, Callable[[], Setting]] = {
    "pin-memory": lambda: _loader("pin-memory", "pin_memory", True, needs_cuda=True),
    "persistent-workers": lambda: _loader("persistent-workers", "persistent_workers", True),
    "prefetch": lambda: _prefetch(4),
    "fused-optimizer": lambda: Setting(
        "fused-optimizer", {"fused": True}, "fused=True in the optimizer"
    ),
    "channels-last": lambda: Setting(
        "channels-last",
        {"channels_last": True},
        "model.to(memory_format=torch.channels_last), and the same for the inputs",
    ),
    "amp": lambda: Setting(
        "amp",
        {"amp": True},
        "forward pass and loss under torch.autocast(device, torch.bfloat16)",
    ),
    "compile": lambda: Setting(
        "compile", {"compile": True}, "model.compile() before the first step"
    ),
    "cudnn-benchmark": lambda: Setting(
        "cudnn-benchmark",
        {"cudnn_benchmark": True},
        "torch.backends.cudnn.benchmark = True",
        "torch.backends.cudnn.benchmark = True",
        needs_cuda=True,
    ),
    "tf32": lambda: Setting(
        "tf32",
        {"tf32": True},
        'torch.set_float32_matmul_precision("high")',
        'torch.set_float32_matmul_precision("high")',
        needs_cuda=True,
    ),
    "deterministic": lambda: Setting(
        "deterministic",
        {"deterministic": True},
        "torch.use_deterministic_algorithms(True), CUBLAS_WORKSPACE_CONFIG=:4096:8 set outside",
        "torch.use_deterministic_algorithms(True)",
        environ=_CUBLAS,
    ),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to try: single settings, and the numbers of workers among which to search."""

    settings: tuple[Setting, ...]
    workers: tuple[int, ...]


def parse(listed: str) -> Wanted:
    """What `--try` asks for.

    Raises:
        GpuDoctorError: an unknown setting, or a value that means nothing.
    """
    settings: list[Setting] = []
    counts: list[int] = []
    for word in (word.strip() for word in listed.split(",")):
        if not word:
            continue
        name, equals, value = word.partition("=")
        if name == WORKERS:
            counts += _range(word, value or "0..8")
        elif name == "prefetch" and equals and value.isdigit() and int(value) > 0:
            settings.append(_prefetch(int(value)))
        elif name in _SIMPLE and not equals:
            settings.append(_SIMPLE[name]())
        else:
            others = (name for name in _SIMPLE if name != "prefetch")
            raise GpuDoctorError(
                f"{word} is nothing that can be tried",
                hint=f"There are: {', '.join((WORKERS + '=0..8', 'prefetch=4', *others))}.",
            )
    return Wanted(tuple(settings), tuple(dict.fromkeys(counts)))


def _range(word: str, value: str) -> Iterator[int]:
    """`4` is 4; `0..8` is 0, 1, 2, 4, 8: what doubles is enough to find where it turns."""
    found = _RANGE.fullmatch(value)
    low = int(found[1]) if found else 0
    high = int(found[2] or low) if found else -1
    if high < low:
        raise GpuDoctorError(f"{word} is no range", hint="Give it as num-workers=0..8.")
    tried = {low, high}
    power = 1
    while power < high:
        if power > low:
            tried.add(power)
        power *= 2
    yield from sorted(tried)
