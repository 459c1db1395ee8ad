"""`gpudoctor serve`."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpudoctor.config import Settings, load
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.daemon.access import Access
    from gpudoctor.daemon.ledger import Ledger
    from gpudoctor.daemon.policy import Policy

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--listen",
    "--web.listen-address",
    "listen",
    metavar="ADDRESS",
    multiple=True,
    help="HOST:PORT or unix:/PATH; may be repeated.  [127.0.0.1:9836]",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Seconds between samples.  [5]",
)
@click.option(
    "--processes",
    type=click.IntRange(0, 1000),
    metavar="N",
    default=0,
    show_default=True,
    help="Give series of their own to so many processes, largest first.",
)
@click.option("--nvlink-links", is_flag=True, help="Give series of its own to each NVLink.")
@click.option(
    "--metrics-names",
    type=click.Choice(["gpudoctor", "dcgm"]),
    default="gpudoctor",
    show_default=True,
    help="dcgm: give readings under the names of dcgm-exporter, too.",
)
@click.option("--dcgm-names", is_flag=True, hidden=True, help="The same as --metrics-names dcgm.")
@click.option(
    "--textfile",
    metavar="PATH",
    type=_FILE,
    help="Write the metrics to PATH for node_exporter; then listen only where --listen says.",
)
@click.option(
    "--inspect",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="Run the checks and look for orphans so often; 0: never.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=_FILE,
    help="Record to FILE.  [history.sqlite3 in your state folder]",
)
@click.option("--no-history", is_flag=True, help="Record nothing.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=_FILE,
    help="Answer only those who send this token (bearer, or basic auth's password).",
)
@click.option("--tls-cert", metavar="FILE", type=_FILE, help="Serve HTTPS with this certificate.")
@click.option("--tls-key", metavar="FILE", type=_FILE, help="Its key, if not in the same file.")
@click.option(
    "--tls-client-ca", metavar="FILE", type=_FILE, help="Ask clients for certificates of this CA."
)
@click.option(
    "--web.config.file",
    "web_config",
    metavar="FILE",
    type=_FILE,
    help="TLS and users as Prometheus' exporters have them, in YAML.",
)
@click.option(
    "--reclaim-policy",
    metavar="FILE",
    type=_FILE,
    help="End left-over processes by the rules of FILE (TOML), and tell each act.",
)
@click.option("--wait-for-driver", is_flag=True, help="Without a driver, wait for it.")
@click.pass_context
def serve(ctx: click.Context, /, **options: Any) -> None:
    """Sample this machine and answer over HTTP, until Ctrl-C or SIGTERM.

    /metrics is for Prometheus, /api/v1/snapshot is JSON, /healthz and /readyz are for supervisors.
    Without --processes, processes are told of by user and GPU only, since a pid is a label that
    never comes back. Nothing that is asked for over HTTP changes anything on the machine.

    SIGHUP makes it read the settings, the web configuration, certificates and token again.

    What is sampled is recorded too, for `gpudoctor history`; a simulated or replayed machine only
    where --history names a file.
    """
    chosen = _Options(**options)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("gpudoctor.daemon").setLevel(logging.INFO)
    _serve(ctx, chosen)


@dataclass(frozen=True, slots=True)
class _Options:
    """The options, by their names."""

    listen: tuple[str, ...]
    interval: float | None
    processes: int
    nvlink_links: bool
    metrics_names: str
    dcgm_names: bool
    textfile: Path | None
    inspect: float
    history: Path | None
    no_history: bool
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    web_config: Path | None
    reclaim_policy: Path | None
    wait_for_driver: bool

    @property
    def dcgm(self) -> bool:
        """Whether dcgm-exporter's names are wanted beside ours."""
        return self.dcgm_names or self.metrics_names == "dcgm"


def _settings(ctx: click.Context) -> Settings:
    config = ctx.obj["config"]
    return load(Path(config) if config else None)


def _serve(ctx: click.Context, chosen: _Options) -> None:
    from gpudoctor.cli import assembly
    from gpudoctor.daemon.access import AccessFiles
    from gpudoctor.daemon.memory import one_arena
    from gpudoctor.daemon.notify import Notifier
    from gpudoctor.daemon.service import Service

    one_arena()
    settings = _settings(ctx)
    files = AccessFiles(
        chosen.token_file, chosen.tls_cert, chosen.tls_key, chosen.tls_client_ca, chosen.web_config
    )
    access = files.read()
    ledger = _ledger(chosen, settings)
    policy = _policy(chosen)
    notifier = Notifier()
    assembly.notify(settings.notify, ledger, notifier)
    addresses = chosen.listen or (() if chosen.textfile else settings.serve.addresses)
    made_up = bool(ctx.obj["demo"] or ctx.obj["replay"])
    # Sockets and files are let go of first: the driver may hang while it is closed.
    with ExitStack() as machines, ExitStack() as stack:
        sockets = assembly.listen(addresses, stack, secure=access.context is not None)
        # A made-up machine must not be taken for this one.
        own = {} if made_up else assembly.own_socket(stack, everybody=_is_open(addresses, access))
        if chosen.textfile is not None:
            assembly.write_textfile(chosen.textfile, ledger, stack)
        opener = partial(assembly.open_sampler, ctx, ledger, machines)
        sampler = None if chosen.wait_for_driver else opener()
        recorder = history = None
        if not chosen.no_history and (chosen.history is not None or not made_up):
            recorder, history = assembly.record(chosen.history, ledger, stack)
        readers, reclaimer = assembly.inspect(
            chosen.inspect, ledger, notifier, recorder, policy, stack
        )

        def reread() -> Access:
            again, who = _settings(ctx), files.read()
            rules = _policy(chosen)
            assembly.say_restart(addresses, chosen.listen, again.serve.addresses)
            assembly.notify(again.notify, ledger, notifier)
            if reclaimer is not None and rules is not None:
                reclaimer.use(rules)
            service.keep_pace(chosen.interval or again.serve.interval_seconds)
            return who

        service = Service(ledger, opener, readers, history=history, access=access, reread=reread)
        if sampler is not None:
            service.attach(sampler)
        service.run(
            tuple(sockets.values()),
            lambda: assembly.say_where(sockets, own),
            local=tuple(own.values()),
        )


def _ledger(chosen: _Options, settings: Settings) -> Ledger:
    from gpudoctor.daemon.ledger import Ledger
    from gpudoctor.render.metrics.dcgm import DCGM
    from gpudoctor.render.metrics.table import METRICS

    return Ledger(
        interval_s=chosen.interval or settings.serve.interval_seconds,
        process_rows=chosen.processes,
        link_rows=chosen.nvlink_links,
        metrics=(*METRICS, *DCGM) if chosen.dcgm else METRICS,
    )


def _policy(chosen: _Options) -> Policy | None:
    from gpudoctor.daemon.policy import read_policy

    if chosen.reclaim_policy is None:
        return None
    if not chosen.inspect:
        raise GpuDoctorError(
            "nothing can be left over where nobody looks: --reclaim-policy and --inspect 0",
            hint="Leave out --inspect, or give it a number of seconds.",
        )
    return read_policy(chosen.reclaim_policy)


def _is_open(addresses: tuple[str, ...], access: Access) -> bool:
    """Whether any user of this machine may ask already, by a port: then the own socket is no secret."""
    guarded = access.token or access.users or access.context
    return not guarded and any(not one.startswith("unix:") for one in addresses)
