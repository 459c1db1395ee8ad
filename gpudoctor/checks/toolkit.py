"""The CUDA toolkit, which only builds of extensions need: nvcc, CUDA_HOME, the host compiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import info, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import version
from gpudoctor.model.finding import Finding, Severity

_EXTENSION = "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/utils/cpp_extension.py"
# From this CUDA release on: the first major version of g++ that its nvcc refuses (torch's table).
_TOO_NEW_GCC = (((13, 0), 16), ((12, 8), 15), ((12, 4), 14), ((12, 0), 13))


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
            fix="Set it before you build a CUDA extension. Running torch does not need it.",
            run=[f"export CUDA_HOME={real if headers[1] else '/usr/local/cuda'}"],
        )


@check(
    "toolkit.host-compiler",
    title="A g++ that is too new for nvcc",
    needs=("cuda torch", "toolkit"),
    tier="C",
    severity=Severity.WARNING,
    sources=(_EXTENSION,),
)
def host_compiler(ctx: CheckContext) -> Iterator[Finding]:
    """nvcc refuses a g++ that is newer than its own release. Torch checks this before it builds an
    extension and stops. Running torch needs no compiler."""
    tool = ctx.need("compiler", ctx.compiler, "g++ was not looked for")
    compiler, nvcc = version(tool.version), version(ctx.the_toolkit().nvcc.version)
    if not compiler or not nvcc:
        raise NotReportedError("there is no g++ or no nvcc here; only builds would need them")
    refused = next((most for since, most in _TOO_NEW_GCC if nvcc[:2] >= since), None)
    if refused is not None and compiler[0] >= refused:
        yield warning(
            "g++",
            f"CUDA extensions cannot be built: nvcc {nvcc[0]}.{nvcc[1]} needs a g++ below {refused}",
            f"g++ {tool.version} at {tool.path}",
            fix="Install an older g++ and name it for the build.",
            run=[
                f"sudo apt install g++-{refused - 1}",
                f"export CC=gcc-{refused - 1} CXX=g++-{refused - 1}",
                f"export NVCC_PREPEND_FLAGS='-ccbin g++-{refused - 1}'",
            ],
        )
