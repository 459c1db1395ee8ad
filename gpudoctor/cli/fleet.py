"""`gpudoctor fleet`: many machines, as a Prometheus knows them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.config import Settings
    from gpudoctor.history.prometheus import Prometheus
    from gpudoctor.model.fleet import Fleet
    from gpudoctor.tui.screens.fleet import FleetSource

# The screen sorts by every column.
ORDERS = ("trouble", "name", "free", "util", "memory", "power")
_DURATION = re.compile(r"\d+[smhd]")
_TOKEN = "GPUDOCTOR_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable


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
    type=click.Choice(ORDERS),
    help="Order of the machines: trouble, or what the screen was sorted by the last time.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N machines.")
@click.option(
    "--idle-for",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="Held memory counts as idle when nothing ran for so long.",
)
@click.option("--once", is_flag=True, help="Print one table and exit, even on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.fleet/1).")
@click.pass_obj
def fleet(
    obj: dict[str, Any],
    url: str | None,
    match: str,
    order: str | None,
    limit: int | None,
    idle_for: str,
    once: bool,
    as_json: bool,
) -> None:
    """Show all machines that run `gpudoctor serve`: the sick ones first, then the idle ones.

    On a terminal they stay up to date; elsewhere, and with --once, --limit or --json, they are
    printed once. A token in the environment variable GPUDOCTOR_PROMETHEUS_TOKEN is sent along.
    """
    from gpudoctor.config import load

    config = obj.get("config")
    settings = load(Path(config) if config else None)
    if not _DURATION.fullmatch(idle_for):
        raise click.BadParameter("say it as 30m, 1h or 2d", param_hint="--idle-for")
    server = named(url, settings)
    live = sys.stdout.isatty() and sys.stdin.isatty()
    if live and not (once or as_json or limit):
        source = source_of(server, match, idle_for)
        _open(source, settings, order, ascii_only=obj["ascii"])
        return
    from gpudoctor.history.prometheus import read_fleet

    _print(
        read_fleet(server, match=match, idle_for=idle_for),
        order or "trouble",
        limit,
        as_json=as_json,
    )


def named(url: str | None, settings: Settings) -> Prometheus:
    """The server of this address, else of the settings.

    Raises:
        GpuDoctorError: neither names one, or what they name is no address.
    """
    import os

    from gpudoctor.history.prometheus import Prometheus

    chosen = url or settings.fleet.prometheus
    if not chosen:
        raise GpuDoctorError(
            "no Prometheus was named",
            hint="Give --prometheus http://HOST:9090, or set GPUDOCTOR_PROMETHEUS,"
            " or fleet.prometheus in the settings.",
        )
    return Prometheus(chosen, token=os.environ.get(_TOKEN))


def source_of(server: Prometheus, match: str = "", idle_for: str = "1h") -> FleetSource:
    """What the screen asks."""
    from gpudoctor.history.prometheus import read_fleet
    from gpudoctor.history.prometheus_gpus import read_gpus
    from gpudoctor.tui.screens.fleet import FleetSource

    return FleetSource(
        server.url,
        lambda: read_fleet(server, match=match, idle_for=idle_for),
        lambda instance: read_gpus(server, instance, idle_for=idle_for),
    )


def _open(source: FleetSource, settings: Settings, order: str | None, *, ascii_only: bool) -> None:
    from gpudoctor.cli.painting import kept, paint, paint_on_stdout
    from gpudoctor.present.fleet import natural
    from gpudoctor.present.glyphs import glyphs, speaks_unicode
    from gpudoctor.tui.fleet import FleetApp
    from gpudoctor.tui.themes import checked

    plain = ascii_only or not speaks_unicode(sys.stdout.encoding)
    theme = checked(settings.tui.theme)
    look, complaint = kept(settings.tui)
    chosen = None if order is None else natural(order)
    app = FleetApp(
        source, order=chosen, theme=theme, set_=glyphs(plain), look=look, complaint=complaint
    )
    paint_on_stdout()
    paint(app, settings.tui)


def _print(found: Fleet, order: str, limit: int | None, *, as_json: bool) -> None:
    from gpudoctor.render.fleet import ordered, table

    machines = ordered(found.machines, order)[:limit]
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        body = {"source": found.source, "machines": to_builtins(machines)}
        click.echo(envelope("gpudoctor.fleet/1", body, at=found.at))
        return
    from gpudoctor.present.fleet import total_text
    from gpudoctor.render.text import console

    console().print(table(machines))
    console().print(total_text(found))
