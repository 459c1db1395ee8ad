"""Environment variables that slow jobs down, break them, or mean something else than was intended."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import error, info, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import minor, version
from gpudoctor.model.finding import Finding, Severity

_GUIDE = (
    "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html"
)
_TORCH_CUDA = "https://docs.pytorch.org/docs/stable/notes/cuda.html"
_NCCL = "https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html"
_OFF = ("", "0")

# What each costs; only these values do.
_DEBUG: dict[str, tuple[str, str]] = {
    "CUDA_FORCE_PTX_JIT": ("1", "every kernel is compiled anew from PTX"),
    "CUDA_DISABLE_PTX_JIT": ("1", "GPUs newer than the build get no kernels"),
    "CUDA_CACHE_DISABLE": ("1", "compiled kernels are thrown away at the end of each run"),
    "CUDA_DEVICE_WAITS_ON_EXCEPTION": ("1", "a fault on the GPU stops the program for a debugger"),
    "CUDA_MODULE_LOADING": ("EAGER", "all kernels are loaded at the start, which takes memory"),
    "PYTORCH_NO_CUDA_MEMORY_CACHING": ("1", "every allocation goes to the driver, which is slow"),
    "TORCH_SHOW_CPP_STACKTRACES": ("1", "every error collects a C++ trace, which is slow"),
    "TORCH_DISTRIBUTED_DEBUG": ("DETAIL", "collectives are checked on every call, which is slow"),
    "NCCL_DEBUG": ("TRACE", "NCCL writes a line for every call"),
    "AUTOGRAPH_VERBOSITY": ("10", "every traced function is logged"),
}
# NVIDIA's own diagnostic names these as changing what it measures (level 1 of `dcgmi diag`).
_INJECTED = (
    "NSIGHT_CUDA_DEBUGGER",
    "CUDA_INJECTION32_PATH",
    "CUDA_INJECTION64_PATH",
    "CUDA_AUTO_BOOST",
    "CUDA_ENABLE_COREDUMP_ON_EXCEPTION",
    "CUDA_COREDUMP_FILE",
    "CUDA_PROFILE",
    "COMPUTE_PROFILE",
    "OPENCL_PROFILE",
)


@check(
    "settings.launch-blocking",
    title="CUDA_LAUNCH_BLOCKING is left on",
    needs=("environment variables",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_GUIDE,),
)
def launch_blocking(ctx: CheckContext) -> Iterator[Finding]:
    """With CUDA_LAUNCH_BLOCKING=1 the CPU waits for every kernel. Torch's error texts advise it to find a
    fault, and it is then forgotten in a shell's profile."""
    value = ctx.variable("CUDA_LAUNCH_BLOCKING")
    if value not in _OFF:
        yield warning(
            "CUDA_LAUNCH_BLOCKING",
            f"CUDA_LAUNCH_BLOCKING={value}: the CPU waits for every kernel, and nothing overlaps",
            fix="Unset it when the fault is found.",
            run=["unset CUDA_LAUNCH_BLOCKING"],
        )


@check(
    "settings.debug",
    title="Debugging switches that cost time",
    needs=("environment variables",),
    tier="C",
    severity=Severity.WARNING,
    sources=(_GUIDE, "https://docs.pytorch.org/docs/stable/debugging_environment_variables.html"),
)
def debug(ctx: CheckContext) -> Iterator[Finding]:
    """Variables that help to find a fault and cost time in every run."""
    for name, (costly, what) in _DEBUG.items():
        if ctx.environ.get(name, "").upper() == costly:
            yield warning(
                name,
                f"{name}={ctx.environ[name]}: {what}",
                fix="Unset it when it has served.",
                run=[f"unset {name}"],
            )


@check(
    "settings.injected-tools",
    title="A profiler or debugger is injected into every CUDA program",
    needs=("environment variables",),
    tier="C",
    severity=Severity.INFO,
    sources=("https://github.com/NVIDIA/DCGM",),
)
def injected_tools(ctx: CheckContext) -> Iterator[Finding]:
    """These variables load a tool into each CUDA program or change how the GPU runs; NVIDIA's own
    diagnostic refuses to measure with them."""
    named = [name for name in _INJECTED if ctx.environ.get(name)]
    if named:
        yield info(
            ", ".join(named),
            "a tool for profiling or core dumps is set for all CUDA programs of this shell",
            *(f"{name}={ctx.environ[name]}" for name in named),
            fix="Unset them outside of such a session.",
            run=[f"unset {' '.join(named)}"],
        )


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


@check(
    "settings.nccl",
    title="NCCL switches that disable what makes it fast",
    needs=("environment variables",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_NCCL, issue("NVIDIA/nccl", 631), issue("NVIDIA/nccl", 1052)),
)
def nccl(ctx: CheckContext) -> Iterator[Finding]:
    """NCCL_P2P_DISABLE and its sisters are advised as a way around a hang and left in place; NCCL then
    goes through the host. An interface that does not exist stops every collective at its start."""
    named = {name: value for name, value in ctx.environ.items() if name.startswith("NCCL_")}
    if not named:
        raise NotReportedError("no NCCL variable is set")
    for name in ("NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE"):
        if named.get(name, "0") not in _OFF:
            yield warning(
                name,
                f"{name}={named[name]} makes communication between GPUs slower",
                fix="Unset it, and see whether what it was set for still happens.",
                run=[f"unset {name}"],
            )
    wanted = named.get("NCCL_SOCKET_IFNAME")
    there = ctx.machine.network_interfaces if ctx.machine else None
    if wanted and there is not None and not _interfaces(wanted, there):
        yield error(
            "NCCL_SOCKET_IFNAME",
            f"NCCL_SOCKET_IFNAME={wanted} names no network interface of this machine",
            f"there are: {', '.join(sorted(there))}",
            fix="Name one of them, or unset the variable.",
            run=["unset NCCL_SOCKET_IFNAME", "ip -brief link"],
        )


def _interfaces(wanted: str, there: frozenset[str]) -> set[str]:
    """The interfaces that NCCL's notation selects: prefixes, `=` for exact names, `^` for all but."""
    inverted = wanted.startswith("^")
    rest = wanted.removeprefix("^")
    exact = rest.startswith("=")
    names = [name for name in rest.removeprefix("=").split(",") if name]
    hit = {i for i in there if any(i == n if exact else i.startswith(n) for n in names)}
    return set(there) - hit if inverted else hit


@check(
    "settings.threads",
    title="One OpenMP thread for a process that is alone",
    needs=("environment variables",),
    tier="C",
    severity=Severity.INFO,
    sources=("https://github.com/pytorch/pytorch/blob/v2.13.0/torch/distributed/run.py",),
)
def threads(ctx: CheckContext) -> Iterator[Finding]:
    """OMP_NUM_THREADS=1 is what torchrun sets for several processes on a node. In a shell of your own it
    makes all work of torch on the CPU use one core."""
    value = ctx.variable("OMP_NUM_THREADS")
    cores = ctx.system.cpu.usable if ctx.system else None
    if value == "1" and "LOCAL_RANK" not in ctx.environ and (cores is None or cores > 2):
        yield info(
            "OMP_NUM_THREADS",
            f"OMP_NUM_THREADS=1, and {cores or 'several'} CPUs may be used",
            fix="For a single process, unset it; for several, divide the cores among them.",
            run=["unset OMP_NUM_THREADS"],
        )


@check(
    "settings.arch-list",
    title="TORCH_CUDA_ARCH_LIST that builds for other GPUs",
    needs=("environment variables",),
    tier="C",
    severity=Severity.ERROR,
    sources=("https://github.com/pytorch/pytorch/blob/v2.13.0/torch/utils/cpp_extension.py",),
)
def arch_list(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA extensions are compiled for the architectures that this variable lists. A word that torch does
    not know stops the build; a list without this machine's GPU builds something that cannot run here."""
    value = ctx.variable("TORCH_CUDA_ARCH_LIST")
    words = [word for word in re.split(r"[ ;]+", value.strip()) if word]
    names = ("Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell")
    odd = [
        word
        for word in words
        if not re.fullmatch(r"\d{1,2}\.\d[af]?(\+PTX)?", word)
        and not word.removesuffix("+PTX").startswith((*names, "native", "all", "Kepler"))
    ]
    if odd:
        yield error(
            "TORCH_CUDA_ARCH_LIST",
            f"{', '.join(odd)} is not an architecture that torch's builds know",
            f"TORCH_CUDA_ARCH_LIST={value}",
            fix="Write compute capabilities, separated by blanks or semicolons.",
            run=['export TORCH_CUDA_ARCH_LIST="8.0;9.0"'],
        )
        return
    if any(not word[0].isdigit() for word in words):
        return
    for device, capability in ctx.reporting(lambda d: d.facts.compute_capability):
        if not any(_covers(word, capability) for word in words):
            number = f"{capability[0]}.{capability[1]}"
            yield warning(
                f"GPU {device.index}",
                f"TORCH_CUDA_ARCH_LIST={value} does not cover its compute capability {number}",
                fix="Add it before you build extensions for this machine.",
                run=[f'export TORCH_CUDA_ARCH_LIST="{value};{number}"'],
            )


def _covers(word: str, capability: tuple[int, int]) -> bool:
    major, _, rest = word.partition(".")
    built = (int(major), int(rest[0]))
    if built <= capability and word.endswith("+PTX"):
        return True
    return built[0] == capability[0] and built <= capability


@check(
    "settings.nvml-check",
    title="is_available() asks NVML only",
    needs=("environment variables",),
    tier="I",
    severity=Severity.INFO,
    sources=(_TORCH_CUDA,),
)
def nvml_check(ctx: CheckContext) -> Iterator[Finding]:
    """With PYTORCH_NVML_BASED_CUDA_CHECK=1 torch.cuda.is_available() believes NVML and does not start
    CUDA: it can be True where the first use of the GPU fails."""
    if ctx.variable("PYTORCH_NVML_BASED_CUDA_CHECK") == "1":
        yield info(
            "PYTORCH_NVML_BASED_CUDA_CHECK",
            "torch.cuda.is_available() trusts NVML and says nothing about CUDA itself",
            fix="It keeps the process free to fork; do not take it as a proof that CUDA works.",
        )


@check(
    "settings.jit-cache",
    title="Compiled kernels cannot be kept",
    needs=("environment variables",),
    tier="C",
    severity=Severity.WARNING,
    sources=(_GUIDE,),
)
def jit_cache(ctx: CheckContext) -> Iterator[Finding]:
    """What CUDA compiles from PTX is kept in CUDA_CACHE_PATH. Where that folder may not be written, every
    start compiles anew."""
    home = ctx.environ.get("HOME")
    named = ctx.environ.get("CUDA_CACHE_PATH") or (f"{home}/.nv/ComputeCache" if home else None)
    place = Path(ctx.need("cache", named, "neither CUDA_CACHE_PATH nor HOME is set"))
    existing = next((p for p in (place, *place.parents) if p.exists()), None)
    if existing is not None and not os.access(existing, os.W_OK):
        yield warning(
            "CUDA_CACHE_PATH",
            f"{place} cannot be written: kernels from PTX are compiled at every start",
            f"not writable: {existing}",
            fix="Set CUDA_CACHE_PATH to a folder of yours.",
            run=['export CUDA_CACHE_PATH="$TMPDIR/cuda-cache"'],
        )
