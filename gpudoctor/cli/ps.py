"""`gpudoctor ps`: whose memory is it?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from gpudoctor.cli.attach import attach, no_daemon, say_whose
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot

if TYPE_CHECKING:
    from gpudoctor.model.listing import Listing
    from gpudoctor.model.parked import Parked

# What a process table needs; the other collectors cost time and are not shown.
COLLECTORS = ("memory", "utilization", "mig", "processes")
SORT_KEYS = ("gpu", "memory", "sm", "cpu", "host-memory", "age", "pid", "user")
LOOK_S = 5.0


@click.command()
@click.option("--user", "users", multiple=True, metavar="NAME", help="Only this user's processes.")
@click.option("--gpu", "gpus", multiple=True, type=int, metavar="INDEX", help="Only on this GPU.")
@click.option("--name", metavar="TEXT", help="Only processes whose command contains TEXT.")
@click.option(
    "--sort", type=click.Choice(SORT_KEYS), default="gpu", show_default=True, help="Order of rows."
)
@click.option("--tree", is_flag=True, help="Show each process below what launched it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.ps/1).")
@click.option(
    "--watch",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Print anew every so many seconds, until Ctrl-C.",
)
@no_daemon
@click.pass_context
def ps(
    ctx: click.Context,
    /,
    no_daemon: bool,
    as_json: bool,
    tree: bool,
    watch: float | None,
    **wanted: Any,
) -> None:
    """Show the processes on the GPUs: who holds which memory, and what is running.

    Parked processes and memory that no listed process holds have rows of their own. Where a daemon
    (`gpudoctor serve`) runs, its latest look is shown, unless it is older than eight seconds.
    """
    demo, replay = ctx.obj["demo"], ctx.obj["replay"]
    # Who watches wants to see each look, which the daemon takes only every few seconds.
    may_attach = not (no_daemon or ctx.obj["no_daemon"] or demo or replay or watch is not None)
    attached = attach() if may_attach else None
    if attached is not None:
        client, snapshot = attached
        if not as_json:
            say_whose(client.path, snapshot)
        _tell(snapshot, True, as_json, tree, None, wanted)
        return
    with open_machine(demo, replay) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        for snapshot in _looks(machine, watch):
            _tell(snapshot, machine.reopen is not None, as_json, tree, watch, wanted)


def _tell(
    snapshot: Snapshot,
    live: bool,
    as_json: bool,
    tree: bool,
    watch: float | None,
    wanted: dict[str, Any],
) -> None:
    from gpudoctor.model.selection import select

    _check_gpus(snapshot, wanted["gpus"])
    rows = select(snapshot.processes, **wanted)
    listing = _listing(live, snapshot, rows, tree=tree)
    listing = _chosen(listing, wanted["users"], wanted["gpus"], wanted["name"])
    _show(snapshot, listing, as_json=as_json, again=watch is not None, tree=tree)


def _check_gpus(snapshot: Snapshot, gpus: Sequence[int]) -> None:
    known = [device.index for device in snapshot.devices]
    for gpu in gpus:
        if gpu not in known:
            raise GpuDoctorError(
                f"there is no GPU {gpu}", hint=f"There are: {', '.join(map(str, known))}."
            )


def _looks(machine: Machine, watch: float | None) -> Iterator[Snapshot]:
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    chosen = tuple(item for item in registered() if item.name in COLLECTORS)
    sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
    try:
        while True:
            yield sampler.once(LOOK_S)
            if watch is None:
                return
            time.sleep(watch)
    finally:
        sampler.stop()


def _listing(live: bool, snapshot: Snapshot, rows: Sequence[GpuProcess], *, tree: bool) -> Listing:
    """The rows with their origins. Of a played machine's pids this host knows nothing."""
    from msgspec.structs import replace

    from gpudoctor.host.origins import ancestors, launchers, origin
    from gpudoctor.model.lineage import Placement
    from gpudoctor.model.listing import Listing, Origin, listed, listed_device
    from gpudoctor.model.selection import unlisted

    found = []
    for row in rows:
        if live and row.visible:
            found.append(listed(row, origin(row.pid, row.command), None))
        else:
            found.append(listed(row, Origin(launchers(row.command, {}, Placement())), None))
    if live and tree:
        found = [replace(one, above=ancestors(one.pid)) if one.visible else one for one in found]
    gaps = unlisted(snapshot)
    if live and gaps:
        from gpudoctor.host.likely import with_holders

        gaps = with_holders(gaps, snapshot)
    return Listing(
        driver=snapshot.driver,
        devices=tuple(listed_device(device) for device in snapshot.devices),
        processes=tuple(found),
        parked=_parked() if live else (),
        unlisted=gaps,
    )


def _chosen(
    listing: Listing, users: tuple[str, ...], gpus: tuple[int, ...], name: str | None
) -> Listing:
    """The same filters for what is parked, and the GPUs' for memory that nobody holds."""
    from msgspec.structs import replace

    from gpudoctor.model.selection import matches

    parked = tuple(one for one in listing.parked if matches(one, users, gpus, name))
    gaps = tuple(gap for gap in listing.unlisted if not gpus or gap.index in gpus)
    return replace(listing, parked=parked, unlisted=gaps)


def _parked() -> tuple[Parked, ...]:
    from gpudoctor.host.parked import parked

    return parked()


def _show(snapshot: Snapshot, listing: Listing, *, as_json: bool, again: bool, tree: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.ps/1", to_builtins(listing), at=snapshot.taken_at))
        return
    from gpudoctor.render.processes import table
    from gpudoctor.render.text import console

    screen = console()
    if again and screen.is_terminal:
        screen.clear()
    screen.print(*table(snapshot, listing, width=screen.width, as_tree=tree), sep="\n")
