"""`gpudoctor check`: what is wrong here, why, and what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.checks.gather import Wanted
    from gpudoctor.checks.registry import Check
    from gpudoctor.checks.script.source import Script
    from gpudoctor.model.check import CheckReport
    from gpudoctor.model.snapshot import Snapshot

SCHEMA = "gpudoctor.check/1"
LEVELS = ("info", "warning", "error", "never")
_LOOK_S = 4.0
_DEFAULT_LIMIT_S = 11.0


def _names(_ctx: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> list[str]:
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


@click.command()
@click.argument("script", required=False, type=click.Path(path_type=Path))
@click.option("--python", metavar="PY", help="The interpreter to examine, or its venv's folder.")
@click.option(
    "--only", multiple=True, callback=_names, metavar="ID,GROUP", help="Only these checks."
)
@click.option(
    "--skip", multiple=True, callback=_names, metavar="ID,GROUP", help="Not these checks."
)
@click.option("--list", "list_them", is_flag=True, help="Name the checks and end.")
@click.option("--explain", metavar="ID", help="Say what one check looks at, and end.")
@click.option(
    "--fail-on",
    type=click.Choice(LEVELS),
    default="error",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.check/1).")
@click.option("--markdown", "as_markdown", is_flag=True, help="Paste-ready, without your name.")
@click.option("--verbose", "-v", is_flag=True, help="Also sources, and what does not apply here.")
@click.option(
    "--timeout",
    default=_DEFAULT_LIMIT_S,
    show_default=True,
    type=click.FloatRange(1, 600),
    metavar="SECONDS",
    help="Seconds that looking at the machine may take.",
)
@click.pass_context
def check(
    ctx: click.Context,
    script: Path | None,
    python: str | None,
    only: list[str],
    skip: list[str],
    list_them: bool,
    explain: str | None,
    fail_on: str,
    as_json: bool,
    as_markdown: bool,
    verbose: bool,
    timeout: float,
) -> None:
    """Diagnose driver, GPUs, torch and settings; with SCRIPT also its text, which is never run.

    Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 usage, 3 nothing could be looked at.
    """
    from gpudoctor.checks.registry import registered
    from gpudoctor.checks.select import find, select

    if as_json and as_markdown:
        raise GpuDoctorError("--json and --markdown exclude each other", hint="Give one of them.")
    known = registered()
    chosen = select(known, only, skip)
    if explain:
        _explain(find(explain, known))
    elif list_them:
        _list(chosen, as_json, as_markdown)
    else:
        report = _report(ctx, chosen, script, python, timeout)
        _show(report, as_json=as_json, as_markdown=as_markdown, verbose=verbose)
        code = _exit_code(report, fail_on)
        if code is ExitCode.UNAVAILABLE:
            reasons = dict.fromkeys(entry.reason for entry in report.checks if entry.reason)
            click.echo(f"nothing could be looked at: {'; '.join(reasons)}", err=True)
        ctx.exit(code)


def _explain(entry: Check) -> None:
    from gpudoctor.render.check_list import explained
    from gpudoctor.render.text import console

    console().print(*explained(entry), sep="\n")


def _list(checks: Sequence[Check], as_json: bool, as_markdown: bool) -> None:
    from gpudoctor.render import check_list

    if as_json:
        from gpudoctor.model.codec import envelope

        rows = [
            {
                "id": entry.id,
                "title": entry.title,
                "explanation": entry.explanation,
                "severity": entry.severity,
                "tier": entry.tier,
                "needs": entry.needs,
                "uses": entry.uses,
                "after": entry.after,
                "sources": entry.sources,
            }
            for entry in checks
        ]
        click.echo(envelope("gpudoctor.checks/1", {"checks": rows}))
    elif as_markdown:
        click.echo(check_list.markdown(checks), nl=False)
    else:
        from gpudoctor.render.text import console

        console().print(check_list.table(checks))


def _report(
    ctx: click.Context,
    checks: Sequence[Check],
    script: Path | None,
    python: str | None,
    limit_s: float,
) -> CheckReport:
    from dataclasses import replace

    from gpudoctor.checks.context import CheckContext
    from gpudoctor.checks.gather import gather
    from gpudoctor.checks.runner import run_checks
    from gpudoctor.checks.script.source import parse

    begun = time.monotonic()
    text = None if script is None else parse(script)
    if all(entry.needs == ("script",) for entry in checks):
        facts = CheckContext(script=text, environ=os.environ)
    else:
        if ctx.obj["demo"] or ctx.obj["replay"]:
            click.echo(_notice(ctx), err=True)
        asks_python = any(entry.asks_python for entry in checks)
        facts = gather(_wanted(ctx, text, python, asks_python=asks_python), limit_s)
    report = run_checks(checks, facts)
    return replace(report, duration_seconds=time.monotonic() - begun)


def _notice(ctx: click.Context) -> str:
    replay = ctx.obj["replay"]
    if replay:
        return f"REPLAY of {replay}: this machine and its Python are not looked at"
    return "SIMULATED: the GPUs are made up (--demo); all else is this machine"


def _wanted(
    ctx: click.Context, script: Script | None, python: str | None, *, asks_python: bool
) -> Wanted:
    from gpudoctor.checks.gather import Wanted
    from gpudoctor.host.interpreter import find

    # A recording is of another machine, so nothing of this one can explain it.
    local = ctx.obj["replay"] is None
    return Wanted(
        look=lambda: _look(ctx.obj["demo"], ctx.obj["replay"]),
        target=find(python) if local and (asks_python or python) else None,
        environ=dict(os.environ) if local else {},
        script=script,
        local=local,
    )


def _look(demo: bool, replay: str | None) -> Snapshot:
    from gpudoctor.cli.sources import open_machine
    from gpudoctor.sampling.sampler import Sampler

    with open_machine(demo, replay) as machine:
        sampler = Sampler(machine.nvml, machine.host, reopen=machine.reopen)
        try:
            return sampler.once(_LOOK_S)
        finally:
            sampler.stop()


def _show(report: CheckReport, *, as_json: bool, as_markdown: bool, verbose: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope(SCHEMA, to_builtins(report)))
        return
    if as_markdown:
        from gpudoctor.present import paste
        from gpudoctor.present.mask import Identity, mask

        click.echo(mask(paste.findings(report), Identity.here()), nl=False)
        return
    from gpudoctor.render import findings
    from gpudoctor.render.text import console

    screen = console()
    if not screen.is_terminal:
        click.echo(findings.plain(report, verbose=verbose))
        return
    findings.show(screen, report, verbose=verbose)


def _exit_code(report: CheckReport, fail_on: str) -> ExitCode:
    from gpudoctor.model.check import Outcome
    from gpudoctor.model.finding import Severity

    if report.checks and len(report.ended(Outcome.NOT_APPLICABLE)) == len(report.checks):
        return ExitCode.UNAVAILABLE
    worst = report.worst
    if fail_on == "never" or worst is None:
        return ExitCode.OK
    return ExitCode.FINDINGS if worst >= Severity[fail_on.upper()] else ExitCode.OK
