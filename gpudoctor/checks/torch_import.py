"""Whether the interpreter under test can import torch, and what stops it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import PYTHON, error, info, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.probe import ProbeOutcome

_GET_STARTED = "https://pytorch.org/get-started/locally/"
# What the text of a failed import says, and what is behind it.
_IMPORT_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"undefined symbol: __nvJitLink",
        "an older libnvJitLink was found before torch's own",
        "Take the folder with the other libnvJitLink out of LD_LIBRARY_PATH.",
    ),
    (
        r"libcudnn\S*: (?:cannot open|undefined|version)|undefined symbol.*cudnn",
        "cuDNN is missing or is another one than torch was built with",
        "Install the nvidia-cudnn wheel that torch requires and take others off LD_LIBRARY_PATH.",
    ),
    (
        r"libcuda\.so\.1: cannot open",
        "the driver's library is not there, and this build of torch needs it to be imported",
        "Start the container with --gpus all, or install the driver.",
    ),
    (
        r"lib(?:cudart|cublas\w*|nccl|cusparse\w*|cufft|nvrtc|cupti|cufile)\S*: cannot open",
        "a CUDA library that torch requires is not installed",
        "Reinstall torch with its dependencies (not with --no-deps).",
    ),
    (
        r"iJIT_NotifyEvent",
        "MKL is newer than this torch can use",
        "Install an older MKL, or torch from pip.",
    ),
    (
        r"[Nn]um[Pp]y.*(?:1\.x|2\.0|_ARRAY_API)|_ARRAY_API not found",
        "NumPy 2 is installed, and this torch was built for NumPy 1",
        "Install a NumPy below 2, or a newer torch.",
    ),
    (
        r"GLIBC(?:XX)?_[\d.]+' not found",
        "the C or C++ library of this system is older than torch needs",
        "Use a newer system or container image, or an older torch.",
    ),
    (
        r"has no __version__",
        "a folder named torch shadows the package",
        "Rename or leave the folder, or remove it from PYTHONPATH.",
    ),
    (
        r"partially initialized module 'torch'",
        "a file named torch.py shadows the package",
        "Rename the file.",
    ),
)


@check(
    "torch.missing",
    title="The interpreter has no torch",
    needs=("python",),
    tier="A",
    severity=Severity.WARNING,
    sources=(_GET_STARTED,),
)
def missing(ctx: CheckContext) -> Iterator[Finding]:
    """The interpreter that was examined cannot import torch. It may be another interpreter than the one
    that the job uses: --python names the right one."""
    probe = ctx.the_probe()
    if probe.outcome is ProbeOutcome.NO_TORCH:
        make = warning if ctx.snapshot and ctx.snapshot.source == "nvml" else info
        yield make(
            PYTHON,
            f"torch is not installed for {probe.executable}",
            f"chosen because of: {probe.chosen}",
            fix="Name the interpreter that your job uses, or install torch for this one.",
            run=["gpudoctor check --python /path/to/venv", *_installed_by(probe.executable)],
        )


def _installed_by(python: str) -> list[str]:
    # Distributions refuse pip for their own interpreter (PEP 668).
    if python.startswith(("/usr/bin/", "/bin/")):
        return [f"{python} -m venv ~/torch && ~/torch/bin/pip install torch"]
    return [f"{python} -m pip install torch"]


@check(
    "torch.import",
    title="torch cannot be imported",
    needs=("python",),
    tier="A",
    severity=Severity.ERROR,
    sources=(torch_issue(134929), torch_issue(111469), torch_issue(131312)),
    after=(
        "libraries.nvjitlink",
        "libraries.cudnn",
        "packages.pins",
        "packages.mixed-cuda",
        "packages.duplicate-torch",
        "libraries.path",
    ),
)
def imported(ctx: CheckContext) -> Iterator[Finding]:
    """`import torch` was tried in a child process and raised, crashed or did not return."""
    probe = ctx.the_probe()
    if probe.outcome is ProbeOutcome.IMPORT_FAILED:
        text = probe.error or ""
        why, fix = _why(text)
        yield error(
            PYTHON,
            "import torch fails" + (f": {why}" if why else ""),
            *text.splitlines()[:4],
            f"interpreter: {probe.executable}",
            fix=fix or "Install torch anew in a clean virtual environment.",
            run=[f"{probe.executable} -c 'import torch'"],
        )
    elif probe.outcome in (ProbeOutcome.TIMED_OUT, ProbeOutcome.CRASHED) and probe.torch is None:
        late = probe.outcome is ProbeOutcome.TIMED_OUT
        how = f"did not return within {probe.duration_seconds:.0f} s" if late else "crashes Python"
        yield error(
            PYTHON,
            f"import torch {how}",
            *(probe.error or "").splitlines()[:4],
            f"interpreter: {probe.executable}",
            fix="See where it stands: a slow or hanging file system, a sitecustomize or a plugin, or a "
            "library that starts the driver. Where it is only slow, give it more --timeout.",
            run=[f"{probe.executable} -X faulthandler -X importtime -c 'import torch'"],
        )


def _why(text: str) -> tuple[str, str]:
    for pattern, why, fix in _IMPORT_CAUSES:
        if re.search(pattern, text):
            return why, fix
    return "", ""


@check(
    "torch.probe",
    title="The interpreter did not answer in full",
    needs=("python",),
    tier="C",
    severity=Severity.WARNING,
    after=("torch.import", "cuda.init", "driver.hangs"),
)
def probed(ctx: CheckContext) -> Iterator[Finding]:
    """The child that asks torch about CUDA could not be started, crashed, or hung after the import."""
    probe = ctx.the_probe()
    unfinished = (ProbeOutcome.TIMED_OUT, ProbeOutcome.CRASHED)
    if probe.outcome is ProbeOutcome.NOT_STARTED or (
        probe.outcome in unfinished and probe.torch is not None
    ):
        yield warning(
            PYTHON,
            f"{probe.executable} did not answer: {(probe.error or 'no reason').splitlines()[0]}",
            fix="See what CUDA's start does in this interpreter.",
            run=[f"{probe.executable} -c 'import torch; torch.cuda.init()'"],
        )
