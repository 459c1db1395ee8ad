"""The packages beside torch: are they the ones that were built for it?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.facts.distributions import Installed
from gpudoctor.checks.make import PYTHON, error, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import version
from gpudoctor.host.requirements import parse, satisfies
from gpudoctor.model.finding import Finding, Severity

_PYPI = "https://pypi.org/project/torch/"
_SUFFIX = re.compile(r"^nvidia-[a-z0-9-]+-cu(\d+)$")
# Wheels without a suffix began with CUDA 13 and carry its number in their own version.
_UNSUFFIXED = ("nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "nvidia-nvjitlink")


def pip(ctx: CheckContext) -> str:
    """The pip of the interpreter under test."""
    return f"{ctx.the_probe().executable} -m pip"


def torch_of(ctx: CheckContext) -> Installed:
    """The installed torch, as its metadata name it."""
    return ctx.need("torch", ctx.installed().get("torch"), "torch is not installed")


def index_option(torch: Installed) -> str:
    """The option for the index that this torch came from, by its local version (`+cu128`)."""
    local = torch.version.partition("+")[2]
    return f" --index-url https://download.pytorch.org/whl/{local}" if local else ""


def _demand(entry: Installed, name: str) -> str | None:
    """The specifier of `entry`'s unconditional requirement on `name`, such as `==2.8.0`."""
    for line in entry.requires:
        wanted = parse(line)
        if wanted and wanted.name == name and not wanted.marker and wanted.specifier:
            return wanted.specifier
    return None


def _companion(ctx: CheckContext, name: str) -> Iterator[Finding]:
    torch, other = torch_of(ctx), ctx.installed().get(name)
    if other is None:
        raise NotReportedError(f"{name} is not installed")
    specifier = _demand(other, "torch")
    fix = f"Install the {name} of this torch, from the same index."
    release = torch.version.partition("+")[0]
    run = [f"{pip(ctx)} install --force-reinstall {name} torch=={release}{index_option(torch)}"]
    local = (torch.version.partition("+")[2], other.version.partition("+")[2])
    if specifier and satisfies(torch.version, specifier) is False:
        yield error(
            PYTHON,
            f"{name} {other.version} was built for torch{specifier}, and torch {torch.version} is installed",
            f"{name} is in {other.folder}",
            fix=fix,
            run=run,
        )
    elif all(local) and local[0] != local[1]:
        yield error(
            PYTHON,
            f"{name} was built for {local[1]} and torch for {local[0]}",
            f"{name} {other.version}, torch {torch.version}",
            fix=fix,
            run=run,
        )


@check(
    "packages.torchvision",
    title="torchvision of another torch",
    needs=("packages",),
    tier="A",
    severity=Severity.ERROR,
    sources=(issue("pytorch/vision", 9174), issue("pytorch/vision", 8985), torch_issue(157648)),
)
def torchvision(ctx: CheckContext) -> Iterator[Finding]:
    """Each torchvision is compiled against one torch. With another one its operators are missing:
    "operator torchvision::nms does not exist"."""
    yield from _companion(ctx, "torchvision")


@check(
    "packages.torchaudio",
    title="torchaudio of another torch",
    needs=("packages",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_PYPI, "https://pypi.org/project/torchaudio/"),
)
def torchaudio(ctx: CheckContext) -> Iterator[Finding]:
    """A torchaudio before 2.11 is compiled against one torch and fails to load with another."""
    yield from _companion(ctx, "torchaudio")


@check(
    "packages.pinned-torch",
    title="A package that needs another torch",
    needs=("packages",),
    tier="B",
    severity=Severity.ERROR,
    sources=("https://pypi.org/project/vllm/",),
)
def pinned_torch(ctx: CheckContext) -> Iterator[Finding]:
    """A package (vllm and others with compiled code) requires exactly one torch, and another is
    installed: pip was told to replace it, or warned and went on."""
    torch = torch_of(ctx)
    for entry in ctx.installed().installed:
        specifier = _demand(entry, "torch")
        if entry.name in ("torchvision", "torchaudio") or not specifier:
            continue
        if specifier.startswith("==") and satisfies(torch.version, specifier) is False:
            yield error(
                PYTHON,
                f"{entry.name} {entry.version} requires torch{specifier}; {torch.version} is installed",
                fix="Install that torch, or put the two into separate virtual environments.",
                run=[f"{pip(ctx)} install 'torch{specifier}' {entry.name}=={entry.version}"],
            )


@check(
    "packages.pins",
    title="NVIDIA wheels that are not the ones torch requires",
    needs=("python",),
    tier="B",
    severity=Severity.ERROR,
    sources=(torch_issue(131312), _PYPI),
)
def pins(ctx: CheckContext) -> Iterator[Finding]:
    """The wheels of torch bring CUDA's libraries as packages of exact versions. One that is missing or of
    another major version breaks the import or the first call; another minor version is untested."""
    wanted = ctx.need("pins", ctx.the_probe().pins or None, "torch requires no NVIDIA packages")
    for pin in wanted:
        if pin.satisfied is not False or "triton" in pin.name:
            continue
        install = [f"{pip(ctx)} install --force-reinstall --no-deps '{pin.name}{pin.specifier}'"]
        needed = f"{pin.required_by} requires {pin.name}{pin.specifier}"
        if pin.installed is None:
            yield error(
                PYTHON, f"{pin.name} is not installed", needed, fix="Install it.", run=install
            )
            continue
        far = version(pin.installed)[:1] != version(pin.specifier.lstrip("=~<>!"))[:1]
        yield (error if far else warning)(
            PYTHON,
            f"{pin.name} {pin.installed} is installed, which is not what torch requires",
            needed,
            fix="Install the required version.",
            run=install,
        )


@check(
    "packages.triton",
    title="A triton that is not torch's",
    needs=("python", "packages"),
    tier="B",
    severity=Severity.ERROR,
    sources=(_PYPI,),
)
def triton(ctx: CheckContext) -> Iterator[Finding]:
    """torch.compile generates code for one version of triton. Another one fails inside the compiler, and
    pytorch-triton beside triton overwrites its files."""
    installed = ctx.installed()
    if installed.get("triton") and installed.get("pytorch-triton"):
        yield error(
            PYTHON,
            "triton and pytorch-triton are both installed and overwrite each other's files",
            fix="Remove both, then install torch again, which brings the right one.",
            run=[f"{pip(ctx)} uninstall -y triton pytorch-triton"],
        )
    demanded = [pin for pin in ctx.the_probe().pins if pin.name in ("triton", "pytorch-triton")]
    if not demanded:
        raise NotReportedError("torch requires no triton here")
    for pin in demanded:
        if pin.satisfied is False:
            yield (error if pin.installed is None else warning)(
                PYTHON,
                f"torch requires {pin.name}{pin.specifier}; installed is {pin.installed or 'none'}",
                fix="Install the version that torch requires; torch.compile needs it.",
                run=[f"{pip(ctx)} install '{pin.name}{pin.specifier}'"],
            )


@check(
    "packages.mixed-cuda",
    title="Libraries of several CUDA versions side by side",
    needs=("packages",),
    tier="B",
    severity=Severity.WARNING,
    sources=(issue("pytorch/vision", 9174),),
)
def mixed_cuda(ctx: CheckContext) -> Iterator[Finding]:
    """Packages of two major versions of CUDA are installed. They lie in the same folders below
    site-packages/nvidia, and which one is loaded is a matter of luck."""
    majors: dict[str, list[str]] = {}
    for entry in ctx.installed().installed:
        match = _SUFFIX.match(entry.name)
        if match:
            majors.setdefault(match[1], []).append(f"{entry.name} {entry.version}")
        elif entry.name in _UNSUFFIXED and version(entry.version)[:1] >= (13,):
            majors.setdefault(str(version(entry.version)[0]), []).append(
                f"{entry.name} {entry.version}"
            )
    if not majors:
        raise NotReportedError("no NVIDIA packages are installed")
    if len(majors) > 1:
        own = ctx.probe.torch.cuda_version if ctx.probe and ctx.probe.torch else None
        keep = str(version(own)[0]) if version(own) else max(majors, key=int)
        strange = [line.split()[0] for m, rows in majors.items() if m != keep for line in rows]
        yield warning(
            PYTHON,
            f"packages of CUDA {' and '.join(sorted(majors, key=int))} are installed side by side",
            *(f"CUDA {major}: {', '.join(rows)}" for major, rows in sorted(majors.items())),
            fix=f"Remove those that torch does not require (it uses CUDA {keep}).",
            run=[f"{pip(ctx)} uninstall -y {' '.join(strange)}"],
        )


@check(
    "packages.duplicate-torch",
    title="More than one torch",
    needs=("packages",),
    tier="B",
    severity=Severity.WARNING,
    sources=(issue("pytorch/vision", 9174),),
)
def duplicate_torch(ctx: CheckContext) -> Iterator[Finding]:
    """Two torches are on the search path: one in the user's own folder hides the one in the environment,
    or the remains of an old one lie beside the new."""
    found = ctx.installed().all("torch")
    if not found:
        raise NotReportedError("torch is not installed")
    if len(found) > 1:
        yield warning(
            PYTHON,
            f"{len(found)} torches are installed; {found[0].version} comes first",
            *(f"torch {entry.version} in {entry.folder}" for entry in found),
            fix="Remove torch until pip finds none, then install the one you want. A torch in "
            "~/.local is hidden by PYTHONNOUSERSITE=1.",
            run=[f"{pip(ctx)} uninstall torch", "export PYTHONNOUSERSITE=1"],
        )
    elif _by_conda(found[0]) and found[0].installer == "pip":
        yield warning(
            PYTHON,
            "torch was installed by conda and by pip",
            f"torch {found[0].version} in {found[0].folder}",
            fix="Keep one of the two: remove conda's, or make the environment anew.",
            run=["conda remove pytorch pytorch-cuda"],
        )


def _by_conda(torch: Installed) -> bool:
    meta = Path(torch.folder).parents[2] / "conda-meta"
    return any(meta.glob("pytorch-[0-9]*.json"))
