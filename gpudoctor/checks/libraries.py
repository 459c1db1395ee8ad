"""Which libraries are loaded, and from where: the wheel's own, or others that were found before them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import PYTHON, error, info, torch_issue, warning
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


def _bundled(ctx: CheckContext, name: str = "nvidia-") -> None:
    """Go on only if this torch requires such a wheel: one that was built against the system's own
    libraries, as in NVIDIA's containers, is meant to load those.

    Raises:
        NotReportedError: it requires none.
    """
    if not any(pin.name.startswith(name) for pin in ctx.the_probe().pins):
        raise NotReportedError(f"torch requires no {name.rstrip('-')} packages here")


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
    _bundled(ctx, "nvidia-cudnn")
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
        return
    _bundled(ctx)
    if mapped:
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
    needs=("python", "library path"),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(80637), torch_issue(134929)),
)
def path(ctx: CheckContext) -> Iterator[Finding]:
    """Folders on LD_LIBRARY_PATH are searched before those that torch's wheels name, so that a toolkit
    or a system cuDNN takes their place. Torch needs none of them."""
    if not ctx.libraries_first():
        raise NotReportedError("LD_LIBRARY_PATH is not set")
    _bundled(ctx)
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
    _bundled(ctx, "nvidia-nccl")
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
