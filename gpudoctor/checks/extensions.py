"""Packages with compiled code of their own that was built for one torch, and pip itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.facts.distributions import Installed
from gpudoctor.checks.make import PYTHON, error, issue, warning
from gpudoctor.checks.packages import index_option, pip, torch_of
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import dotted, minor
from gpudoctor.model.finding import Finding, Severity


@check(
    "packages.xformers",
    title="xformers of another torch",
    needs=("packages",),
    tier="B",
    severity=Severity.ERROR,
    sources=("https://github.com/facebookresearch/xformers",),
)
def xformers(ctx: CheckContext) -> Iterator[Finding]:
    """xformers writes down for which torch it was compiled. With another one it warns at import and runs
    without its own kernels."""
    entry = ctx.installed().get("xformers")
    if entry is None:
        raise NotReportedError("xformers is not installed")
    try:
        stamp = json.loads((Path(entry.folder) / "xformers" / "cpp_lib.json").read_text())
        wanted = str(stamp["version"]["torch"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as failure:
        raise NotReportedError("xformers does not say for which torch it was built") from failure
    torch = torch_of(ctx)
    if wanted.partition("+")[0] != torch.version.partition("+")[0]:
        yield error(
            PYTHON,
            f"xformers {entry.version} was built for torch {wanted}; {torch.version} is installed",
            fix="Install the xformers of this torch.",
            run=[f"{pip(ctx)} install -U xformers{index_option(torch)}"],
        )


@check(
    "packages.bitsandbytes",
    title="bitsandbytes without a library for this CUDA",
    needs=("packages", "cuda torch"),
    tier="B",
    severity=Severity.ERROR,
    sources=("https://huggingface.co/docs/bitsandbytes/main/en/installation",),
)
def bitsandbytes(ctx: CheckContext) -> Iterator[Finding]:
    """bitsandbytes brings one library for each CUDA version and takes the one of torch's CUDA, or another
    of the same major version."""
    entry = ctx.installed().get("bitsandbytes")
    if entry is None:
        raise NotReportedError("bitsandbytes is not installed")
    cuda = minor(ctx.cuda_torch().cuda_version)
    override = ctx.environ.get("BNB_CUDA_VERSION")
    if override:
        yield warning(
            PYTHON,
            f"BNB_CUDA_VERSION={override} overrides which library bitsandbytes loads",
            f"torch's CUDA: {dotted(cuda)}",
            fix="Unset it, unless you know that you need it.",
            run=["unset BNB_CUDA_VERSION"],
        )
    names = sorted(
        p.name for p in (Path(entry.folder) / "bitsandbytes").glob("libbitsandbytes_cuda*.so")
    )
    majors = {match[1] for name in names if (match := re.search(r"_cuda(\d{2})\d", name))}
    if names and str(cuda[0]) not in majors:
        yield error(
            PYTHON,
            f"bitsandbytes {entry.version} has no library for CUDA {cuda[0]}, which torch uses",
            f"it has: {', '.join(names)}",
            fix="Install a newer bitsandbytes.",
            run=[f"{pip(ctx)} install -U bitsandbytes"],
        )


@check(
    "packages.flash-attn",
    title="flash-attn of another torch",
    needs=("packages",),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        issue("Dao-AILab/flash-attention", 1832),
        issue("Dao-AILab/flash-attention", 836),
        issue("Dao-AILab/flash-attention", 966),
    ),
)
def flash_attn(ctx: CheckContext) -> Iterator[Finding]:
    """The wheels of flash-attn carry in their name for which torch, CUDA and C++ ABI they were compiled.
    With another torch the import ends in "undefined symbol: _ZN3c10…"."""
    entry = ctx.installed().get("flash-attn")
    if entry is None:
        raise NotReportedError("flash-attn is not installed")
    tags = _flash_tags(entry)
    torch = torch_of(ctx)
    abi = ctx.probe.torch.cxx11_abi if ctx.probe and ctx.probe.torch else None
    wrong = []
    if tags["torch"] and minor(tags["torch"]) != minor(torch.version):
        wrong.append(f"torch {tags['torch']}, and {torch.version} is installed")
    if tags["abi"] and abi is not None and (tags["abi"] == "TRUE") != abi:
        wrong.append(f"the C++ ABI {tags['abi']}, and torch's is {str(abi).upper()}")
    if wrong:
        yield error(
            PYTHON,
            f"flash-attn {entry.version} was built for {'; '.join(wrong)}",
            f"wheel: {tags['wheel']}",
            fix="Build it for this torch, or take the wheel whose name has this torch.",
            run=[
                f"{pip(ctx)} uninstall -y flash-attn",
                f"FLASH_ATTENTION_FORCE_BUILD=TRUE {pip(ctx)} install flash-attn --no-build-isolation",
            ],
        )


def _flash_tags(entry: Installed) -> dict[str, str]:
    """Torch and ABI in the name of the wheel that was installed, as direct_url.json keeps it."""
    found = sorted(Path(entry.folder).glob("flash_attn-*.dist-info/direct_url.json"))
    try:
        wheel = str(json.loads(found[0].read_text())["url"]).rpartition("/")[2] if found else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as failure:
        raise NotReportedError("flash-attn's direct_url.json cannot be read") from failure
    match = re.search(
        r"torch(\d+\.\d+(?:\.\d+)?)(?:cxx11abi(TRUE|FALSE))?", f"{wheel} {entry.version}"
    )
    if match is None:
        raise NotReportedError("flash-attn does not say for which torch it was built")
    return {"wheel": wheel or entry.version, "torch": match[1], "abi": match[2] or ""}


@check(
    "packages.pynvml",
    title="The abandoned package pynvml",
    needs=("packages",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://pypi.org/project/pynvml/", issue("sgl-project/sglang", 11395)),
)
def pynvml(ctx: CheckContext) -> Iterator[Finding]:
    """The package pynvml is deprecated in favour of nvidia-ml-py, which brings the same module. Torch
    warns at import when both are there."""
    installed = ctx.installed()
    if installed.get("pynvml") and installed.get("nvidia-ml-py"):
        yield warning(
            PYTHON,
            "pynvml and nvidia-ml-py are both installed; import torch warns of it",
            fix="Remove the old one, then install the other anew, for they share files.",
            run=[
                f"{pip(ctx)} uninstall -y pynvml",
                f"{pip(ctx)} install --force-reinstall nvidia-ml-py",
            ],
        )


@check(
    "packages.pip",
    title="pip belongs to another Python",
    needs=("python",),
    tier="B",
    severity=Severity.WARNING,
    sources=("https://docs.python.org/3/installing/index.html",),
)
def other_pip(ctx: CheckContext) -> Iterator[Finding]:
    """The `pip` on PATH installs for another interpreter than the one that was examined, so that what is
    installed with it is not there when the job runs."""
    facts = ctx.need("python", ctx.the_probe().python, "the interpreter did not answer")
    found = next(
        (
            Path(f) / "pip"
            for f in ctx.environ.get("PATH", "").split(":")
            if f and (Path(f) / "pip").is_file()
        ),
        None,
    )
    if found is None:
        raise NotReportedError("there is no pip on PATH")
    theirs = _interpreter_of(found)
    if theirs is None or not facts.prefix:
        raise NotReportedError("it cannot be told for which Python pip installs")
    if theirs.parent.parent.resolve() != Path(facts.prefix).resolve():
        yield warning(
            PYTHON,
            f"the pip on PATH installs for {theirs}, not for {facts.executable}",
            f"pip: {found}",
            fix="Call pip through the interpreter.",
            run=[f"{facts.executable} -m pip install ..."],
        )


def _interpreter_of(script: Path) -> Path | None:
    """The interpreter in the first line of pip's script; None where that is `env` or no script."""
    try:
        with script.open("rb") as opened:
            first = opened.readline(512).decode(errors="replace").strip()
    except OSError:
        return None
    named = Path(first[2:].strip().partition(" ")[0]) if first.startswith("#!/") else None
    # A shim (pyenv, uv) starts with a shell and decides later.
    return named if named and named.name.startswith("python") else None
