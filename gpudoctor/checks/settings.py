"""Environment variables that slow jobs down, break them, or mean something else than was intended."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import error, info, issue, warning
from gpudoctor.checks.registry import check
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
