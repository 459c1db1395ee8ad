"""Short forms for the findings of a check; the runner adds the check's id and sources."""

from __future__ import annotations

from collections.abc import Sequence

from gpudoctor.model.finding import Finding, Fix, Severity
from gpudoctor.model.snapshot import Device

MACHINE = "this machine"
PYTHON = "this Python"


def gpu(device: Device) -> str:
    """How a GPU is named as a subject; causes and consequences are matched by it."""
    return f"GPU {device.index}"


def error(
    subject: str, summary: str, *evidence: str, fix: str = "", run: Sequence[str] = ()
) -> Finding:
    """Breaks jobs now."""
    return _finding(Severity.ERROR, subject, summary, evidence, fix, run)


def warning(
    subject: str, summary: str, *evidence: str, fix: str = "", run: Sequence[str] = ()
) -> Finding:
    """Costs something, or breaks some jobs."""
    return _finding(Severity.WARNING, subject, summary, evidence, fix, run)


def info(
    subject: str, summary: str, *evidence: str, fix: str = "", run: Sequence[str] = ()
) -> Finding:
    """Worth knowing."""
    return _finding(Severity.INFO, subject, summary, evidence, fix, run)


def _finding(
    severity: Severity,
    subject: str,
    summary: str,
    evidence: Sequence[str],
    fix: str,
    run: Sequence[str],
) -> Finding:
    advice = Fix(fix, tuple(run)) if fix else None
    return Finding("", severity, subject, summary, tuple(evidence), advice)


def issue(repository: str, number: int) -> str:
    """The address of an issue or pull request on GitHub."""
    return f"https://github.com/{repository}/issues/{number}"


def torch_issue(number: int) -> str:
    """The address of an issue or pull request of PyTorch."""
    return issue("pytorch/pytorch", number)
