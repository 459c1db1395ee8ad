"""Which libraries are loaded, and from where: the wheel's own, or others that were found before them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import PYTHON, error, info, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import version
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.probe import LoadedLibrary

# How the names begin of libraries that a torch wheel brings in the right version.
_WATCHED = ("libcudart", "libcudnn", "libnccl", "libnvjitlink", "libcublas")
_WITHOUT = (
    "export LD_LIBRARY_PATH=$(echo $LD_LIBRARY_PATH | tr : '\\n' | grep -vxF '{}' | paste -sd:)"
)


def _loaded(ctx: CheckContext, prefix: str) -> list[LoadedLibrary]:
    """The copies of a library that the probe mapped."""
    ctx.torch()
    mapped = ctx.the_probe().libraries
    ctx.need("libraries", mapped or None, "the mapped libraries are not known")
    found = [lib for lib in mapped if Path(lib.path).name.lower().startswith(prefix)]
    if not found:
        raise NotReportedError(f"{prefix} was not loaded")
    return found


def _from_wheel(ctx: CheckContext, library: LoadedLibrary) -> bool:
    """Whether it lies where torch's own wheels put it, or inside torch."""
    prefix = ctx.the_probe().python
    inside = prefix is not None and prefix.prefix is not None
    below = inside and library.path.startswith(str(prefix.prefix if prefix else ""))
    return library.package is not None or "/site-packages/" in library.path or bool(below)


def _folders_with(ctx: CheckContext, *prefixes: str) -> list[tuple[str, list[str]]]:
    """Folders of LD_LIBRARY_PATH outside of Python's packages that hold such a library."""
    found = []
    for entry in ctx.libraries_first():
        names = [n for n in entry.libraries if n.lower().startswith(prefixes)]
        if names and "/site-packages/" not in entry.directory:
            found.append((entry.directory, names))
    return found


@check(
    "libraries.cudnn",
    title="Another cuDNN than torch's",
    needs=("cuda torch",),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        torch_issue(80637),
        torch_issue(80877),
        "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/backends/cudnn/__init__.py",
    ),
)
def cudnn(ctx: CheckContext) -> Iterator[Finding]:
    """The process maps a libcudnn from outside of torch's packages. Torch refuses to work where its major
    version differs or its minor version is older than the one that torch was compiled with."""
    strange = [lib for lib in _loaded(ctx, "libcudnn") if not _from_wheel(ctx, lib)]
    if not strange:
        return
    pin = next((p for p in ctx.the_probe().pins if p.name.startswith("nvidia-cudnn")), None)
    wanted = version(pin.specifier.lstrip("=~")) if pin else ()
    have = version(strange[0].version)
    refused = len(have) > 1 and wanted and (have[0] != wanted[0] or have[1] < wanted[1])
    folder = str(Path(strange[0].path).parent)
    make = error if refused or ctx.torch().cudnn_version is None else warning
    yield make(
        PYTHON,
        "torch loads a cuDNN from outside of its packages"
        + (" that it refuses" if refused else ""),
        *(f"{lib.path} (version {lib.version or 'not known'})" for lib in strange[:3]),
        f"torch requires: {pin.name}{pin.specifier}" if pin else "torch names no cuDNN package",
        fix="Take its folder out of LD_LIBRARY_PATH. A torch from pip needs no cuDNN of the system.",
        run=[_WITHOUT.format(folder)],
    )


@check(
    "libraries.nvjitlink",
    title="Another libnvJitLink before torch's",
    needs=("python", "library path"),
    tier="A",
    severity=Severity.ERROR,
    sources=(torch_issue(134929), torch_issue(111469), torch_issue(131312)),
)
def nvjitlink(ctx: CheckContext) -> Iterator[Finding]:
    """libcusparse needs the libnvJitLink of its own version. An older one from a toolkit on
    LD_LIBRARY_PATH is found first, and `import torch` ends in "undefined symbol: __nvJitLink…"."""
    probe = ctx.the_probe()
    folders = _folders_with(ctx, "libnvjitlink")
    failed = "__nvJitLink" in (probe.error or "")
    mapped = [
        lib.path
        for lib in probe.libraries
        if Path(lib.path).name.lower().startswith("libnvjitlink") and not _from_wheel(ctx, lib)
    ]
    if failed:
        yield error(
            PYTHON,
            "import torch fails because an older libnvJitLink was found first",
            *(probe.error or "").splitlines()[-1:],
            *(f"{folder}: {', '.join(names)}" for folder, names in folders),
            fix="Take the folder out of LD_LIBRARY_PATH.",
            run=[_WITHOUT.format(folder) for folder, _ in folders] or ["unset LD_LIBRARY_PATH"],
        )
    elif mapped:
        yield warning(
            PYTHON,
            "torch uses a libnvJitLink from outside of its packages",
            *mapped,
            fix="Take its folder out of LD_LIBRARY_PATH.",
            run=[_WITHOUT.format(str(Path(mapped[0]).parent))],
        )


@check(
    "libraries.path",
    title="CUDA libraries on LD_LIBRARY_PATH",
    needs=("library path",),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(80637), torch_issue(134929)),
)
def path(ctx: CheckContext) -> Iterator[Finding]:
    """Folders on LD_LIBRARY_PATH are searched before those that torch's wheels name, so that a toolkit
    or a system cuDNN takes their place. Torch needs none of them."""
    if not ctx.libraries_first():
        raise NotReportedError("LD_LIBRARY_PATH is not set")
    for folder, names in _folders_with(ctx, *_WATCHED):
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        yield warning(
            "LD_LIBRARY_PATH",
            f"{folder} comes before torch's own libraries",
            f"in it: {shown}",
            fix="Take it out, unless a program that you compiled needs it.",
            run=[_WITHOUT.format(folder)],
        )
    absent = [entry.directory for entry in ctx.libraries_first() if not entry.exists]
    if absent:
        yield info(
            "LD_LIBRARY_PATH",
            "names folders that do not exist",
            *absent,
            fix="Remove them: they are left from something that was uninstalled.",
        )


@check(
    "libraries.nccl",
    title="Another NCCL than torch's",
    needs=("cuda torch",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://pypi.org/project/torch/",),
)
def nccl(ctx: CheckContext) -> Iterator[Finding]:
    """The process maps a libnccl from outside of torch's packages. Ranks with different versions of NCCL
    cannot talk to each other, and its version is not the one that torch was tested with."""
    strange = [lib for lib in _loaded(ctx, "libnccl") if not _from_wheel(ctx, lib)]
    if strange:
        yield warning(
            PYTHON,
            "torch uses an NCCL from outside of its packages",
            *(f"{lib.path} (version {lib.version or 'not known'})" for lib in strange),
            f"torch was built with NCCL {ctx.torch().nccl_version or 'not known'}",
            fix="Unset LD_LIBRARY_PATH and LD_PRELOAD, unless all ranks are to use this one.",
            run=["env -u LD_LIBRARY_PATH -u LD_PRELOAD python main.py"],
        )


@check(
    "libraries.preload",
    title="A library is put before all others",
    needs=("environment variables",),
    tier="I",
    severity=Severity.INFO,
    sources=("https://man7.org/linux/man-pages/man8/ld.so.8.html",),
)
def preload(ctx: CheckContext) -> Iterator[Finding]:
    """LD_PRELOAD or /etc/ld.so.preload names a library that may stand between programs and CUDA: GPU
    sharing wrappers show less memory than the GPU has, and allocators change how memory is given back."""
    named = ctx.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    named += ctx.machine.preloaded if ctx.machine else ()
    if not named:
        raise NotReportedError("nothing is preloaded")
    between = [name for name in named if any(w in name.lower() for w in ("vgpu", "cuda", "nvidia"))]
    if between:
        yield info(
            PYTHON,
            f"{', '.join(between)} is loaded before CUDA and may change what it answers",
            fix="If numbers look odd (memory, GPUs), try without it.",
            run=["env -u LD_PRELOAD python main.py"],
        )


@check(
    "toolkit.nvcc",
    title="nvcc of another CUDA than torch's",
    needs=("cuda torch", "toolkit"),
    tier="A",
    severity=Severity.WARNING,
    sources=(torch_issue(73047), torch_issue(136845), issue("vllm-project/vllm", 1453)),
)
def nvcc(ctx: CheckContext) -> Iterator[Finding]:
    """Building a CUDA extension for torch needs an nvcc of torch's CUDA: another major version is refused,
    another minor one is warned of. Running torch needs no nvcc at all."""
    tool = ctx.the_toolkit().nvcc
    home = ctx.the_toolkit().cuda_home_version
    found = version(home) or version(tool.version)
    if not found:
        raise NotReportedError("there is no nvcc here; only builds would need one")
    cuda = version(ctx.cuda_torch().cuda_version)
    where = ctx.the_toolkit().cuda_home or tool.path or "the toolkit"
    written = ".".join(str(part) for part in found[:2])
    own = ".".join(str(part) for part in cuda[:2])
    advice = [
        f"export CUDA_HOME=/usr/local/cuda-{own}",
        f"conda install -c nvidia cuda-nvcc={own}.*",
    ]
    if found[0] != cuda[0]:
        yield warning(
            where,
            f"CUDA extensions cannot be built: nvcc is of CUDA {written}, torch of {own}",
            "torch itself runs without nvcc",
            fix="Point CUDA_HOME at a toolkit of torch's CUDA before you build.",
            run=advice,
        )
    elif found[:2] != cuda[:2]:
        yield info(
            where,
            f"nvcc is of CUDA {written} and torch of {own}: builds work in general, with a warning",
            fix="If a build fails, use a toolkit of exactly torch's CUDA.",
            run=advice,
        )


@check(
    "toolkit.cuda-home",
    title="CUDA_HOME does not lead to a toolkit",
    needs=("cuda torch", "toolkit"),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://github.com/pytorch/pytorch/blob/v2.13.0/torch/utils/cpp_extension.py",),
)
def cuda_home(ctx: CheckContext) -> Iterator[Finding]:
    """Builds of CUDA extensions look for headers and nvcc below CUDA_HOME, or beside the nvcc on PATH. A
    wrong value, or an nvcc that is a wrapper in a bin folder, sends them astray."""
    toolkit = ctx.the_toolkit()
    if toolkit.cuda_home is not None:
        home = Path(toolkit.cuda_home)
        if not (home / "bin" / "nvcc").exists():
            why = "does not exist" if not toolkit.cuda_home_exists else "has no bin/nvcc"
            yield warning(
                "CUDA_HOME",
                f"CUDA_HOME={home} {why}: building CUDA extensions will fail",
                fix="Set it to a toolkit's folder, or unset it. Running torch does not need it.",
                run=["ls -d /usr/local/cuda*", "unset CUDA_HOME"],
            )
        return
    if toolkit.nvcc.path is None:
        raise NotReportedError("neither CUDA_HOME nor nvcc is there; only builds would need them")
    beside = Path(toolkit.nvcc.path).parent.parent
    real = Path(toolkit.nvcc.path).resolve().parent.parent
    headers = [(place / "include" / "cuda_runtime.h").exists() for place in (beside, real)]
    if not headers[0]:
        yield warning(
            "nvcc",
            f"torch would take {beside} as CUDA_HOME, because nvcc is {toolkit.nvcc.path}",
            f"there is no {beside}/include/cuda_runtime.h",
            fix="Set CUDA_HOME to the toolkit itself.",
            run=[f"export CUDA_HOME={real if headers[1] else '/usr/local/cuda'}"],
        )
