"""Reports as Markdown, to be pasted into an issue."""

from __future__ import annotations

from gpudoctor import __version__, units
from gpudoctor.model.check import CheckReport
from gpudoctor.model.environment import EnvironmentReport
from gpudoctor.present.environment import sections
from gpudoctor.present.findings import depths, summary
from gpudoctor.present.mask import Identity, mask


def environment(report: EnvironmentReport, identity: Identity) -> str:
    """The whole report as Markdown, without the user's name, home folder and host name."""
    parts = [f"### Environment by gpudoctor {__version__}", ""]
    for section in sections(report):
        body = "\n".join(_line(label, value) for label, value in section.rows)
        fence = ["```", mask(body, identity), "```"]
        if section.long:
            parts += [
                f"<details><summary>{section.title}</summary>",
                "",
                *fence,
                "",
                "</details>",
                "",
            ]
        else:
            parts += [f"**{section.title}**", *fence, ""]
    return "\n".join(parts)


def _line(label: str, value: str) -> str:
    # A fence inside of the fence would end it.
    text = " ".join(units.printable(part) for part in value.splitlines()).replace("```", "'''")
    return f"{units.printable(label)}: {text}" if label else text


def findings(report: CheckReport) -> str:
    """The report to be pasted into an issue."""
    lines = ["## gpudoctor check", "", summary(report), ""]
    for finding, depth in zip(report.findings, depths(report.findings), strict=True):
        indent = "  " * depth
        lines.append(
            f"{indent}- **{finding.severity.label}** {finding.subject}: {finding.summary} "
            f"(`{finding.id}`)"
        )
        lines += [f"{indent}  - {units.printable(line)}" for line in finding.evidence]
        if finding.fix:
            lines.append(f"{indent}  - Fix: {finding.fix.text}")
            lines += [f"{indent}    - `{command}`" for command in finding.fix.commands]
    return "\n".join(lines).rstrip() + "\n"
