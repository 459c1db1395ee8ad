"""`gpudoctor fleet`: many machines, as a Prometheus knows them."""

from __future__ import annotations

import re

import click

from gpudoctor.errors import GpuDoctorError

_DURATION = re.compile(r"\d+[smhd]")


@click.command()
@click.option(
    "--prometheus",
    "url",
    metavar="URL",
    envvar="GPUDOCTOR_PROMETHEUS",
    show_envvar=True,
    help="The Prometheus, Thanos, Mimir or VictoriaMetrics to ask.",
)
@click.option("--match", default="", metavar="MATCHERS", help="""Only these, as cluster="a".""")
@click.option(
    "--sort",
    "order",
    type=click.Choice(("trouble", "name", "free", "util", "memory", "power")),
    default="trouble",
    show_default=True,
    help="Order of the machines.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N machines.")
@click.option(
    "--idle-for",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="Held memory counts as idle when nothing ran for so long.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.fleet/1).")
def fleet(
    url: str | None, match: str, order: str, limit: int | None, idle_for: str, as_json: bool
) -> None:
    """Show all machines that run `gpudoctor serve`: the sick ones first, then the idle ones.

    A token in the environment variable GPUDOCTOR_PROMETHEUS_TOKEN is sent along.
    """
    import os

    from gpudoctor.history.prometheus import Prometheus, read_fleet
    from gpudoctor.present.fleet import total_text
    from gpudoctor.render.fleet import ordered, table

    if url is None:
        raise GpuDoctorError(
            "no Prometheus was named",
            hint="Give --prometheus http://HOST:9090, or set GPUDOCTOR_PROMETHEUS.",
        )
    if not _DURATION.fullmatch(idle_for):
        raise click.BadParameter("say it as 30m, 1h or 2d", param_hint="--idle-for")
    token = os.environ.get("GPUDOCTOR_PROMETHEUS_TOKEN")
    found = read_fleet(Prometheus(url, token=token), match=match, idle_for=idle_for)
    machines = ordered(found.machines, order)[:limit]
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        body = {"source": found.source, "machines": to_builtins(machines)}
        click.echo(envelope("gpudoctor.fleet/1", body, at=found.at))
        return
    from gpudoctor.render.text import console

    console().print(table(machines))
    console().print(total_text(found))
