"""Puts together what `gpudoctor serve` runs; each part is ended by the stack that it is given."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from pathlib import Path

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.config import NotifySettings
from gpudoctor.daemon.acts import ActLog
from gpudoctor.daemon.changes import Change, note
from gpudoctor.daemon.inspector import Inspector
from gpudoctor.daemon.journal import Journal
from gpudoctor.daemon.kernel_xids import KernelXids
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.listen import Address, bind, bound, parse, release
from gpudoctor.daemon.notify import Notifier
from gpudoctor.daemon.place import own_place
from gpudoctor.daemon.policy import Policy
from gpudoctor.daemon.reclaimer import Reclaimer
from gpudoctor.daemon.textfile import Textfile
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.database import default_path
from gpudoctor.history.recorder import Recorder
from gpudoctor.model.finding import Severity
from gpudoctor.render.metrics.view import Inspection
from gpudoctor.sampling.sampler import Sampler, Subscriber


def open_sampler(ctx: click.Context, ledger: Ledger, machines: ExitStack) -> Sampler:
    """A sampler on the machine that was asked for.

    Raises:
        GpuDoctorError: it cannot be opened.
    """
    machine = machines.enter_context(open_machine(ctx.obj["demo"], ctx.obj["replay"]))
    if machine.notice:
        click.echo(machine.notice, err=True)
    every = ledger.interval_s
    sampler = Sampler(machine.nvml, machine.host, interval_s=every, reopen=machine.reopen)
    if machine.nvml.source == "nvml":
        # The kernel log of this host says nothing of a machine that is played.
        kernel_log = KernelXids(sampler.tell)
        if kernel_log.start():
            sampler.subscribe(kernel_log.add)
            machines.callback(kernel_log.stop)
    return sampler


def notify(settings: NotifySettings, ledger: Ledger, notifier: Notifier) -> None:
    """Tell changes to whom the settings name; called again, to whom they name then.

    Raises:
        GpuDoctorError: the settings name files that cannot be used.
    """
    if not settings.url and not settings.command:
        notifier.stop()
        ledger.notified = None
        return
    # The HTTP client is loaded only where somebody is to be told.
    from gpudoctor.daemon.hooks import targets

    found = targets(settings, socket.gethostname())
    notifier.use(found, Severity(settings.least_severity))
    ledger.notified = notifier.counts


def inspect(
    interval_s: float,
    ledger: Ledger,
    notifier: Notifier,
    recorder: Recorder | None,
    policy: Policy | None,
    stack: ExitStack,
) -> tuple[list[Subscriber], Reclaimer | None]:
    """What logs, tells and records changes, and what runs the checks, and ends processes, if it shall."""

    def record(change: Change) -> None:
        noted = note(change)
        if recorder is not None and noted is not None:
            recorder.note(noted)

    journal = Journal([notifier.add, record])
    stack.callback(notifier.stop)
    readers: list[Subscriber] = [journal.add] if recorder is None else [recorder.add, journal.add]
    if not interval_s:
        return readers, None
    reclaimer = None
    if policy is not None:
        acts = ActLog(default_path().with_name("reclaimed.json"))
        reclaimer = Reclaimer(policy, ledger, journal.add_change, acts=acts)
        ledger.reclaimed = reclaimer.counts
        reclaimer.start()
        stack.callback(reclaimer.stop)

    def tell(inspection: Inspection) -> None:
        journal.add_inspection(inspection)
        if reclaimer is not None:
            reclaimer.add(inspection)

    inspector = Inspector(ledger, interval_s=interval_s, tell=tell)
    inspector.start()
    stack.callback(inspector.stop)
    return [*readers, inspector.add], reclaimer


def record(
    path: Path | None, ledger: Ledger, stack: ExitStack
) -> tuple[Recorder | None, Path | None]:
    """What writes the history, and where to. Only one that was asked for by name must work."""
    chosen = path or default_path()
    recorder = Recorder(chosen)
    try:
        recorder.start()
    except GpuDoctorError as error:
        if path is not None:
            raise
        logging.getLogger(__name__).warning("no history: %s: %s", error.message, error.cause)
        return None, None
    stack.callback(recorder.stop)
    ledger.unrecorded = recorder.errors_so_far
    return recorder, chosen


def say_where(sockets: dict[str, socket.socket], own: dict[Path, socket.socket]) -> None:
    """A line on stderr for the addresses, and one for the own socket, where there are any."""
    if sockets:
        click.echo(f"Serving on {', '.join(sockets)}", err=True)
    for path in own:
        click.echo(f"gpudoctor's other commands ask it at {path}", err=True)


def say_restart(now: tuple[str, ...], options: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Warn where the settings want other addresses than the ones in use, which takes a restart."""
    if now and not options and now != wanted:
        logging.getLogger(__name__).warning(
            "serve.listen is %s now, which takes a restart; still at %s",
            ", ".join(wanted),
            ", ".join(now),
        )


def own_socket(stack: ExitStack, *, everybody: bool) -> dict[Path, socket.socket]:
    """The socket that the other commands look for; without one they ask the driver themselves."""
    path = own_place()
    if path is None:
        return {}
    address = Address(path=path)
    try:
        path.parent.mkdir(mode=0o755 if everybody else 0o700, exist_ok=True)
        listening = bind(address, everybody=everybody)
    except (OSError, GpuDoctorError) as error:
        why = error.cause if isinstance(error, GpuDoctorError) else error.strerror
        logging.getLogger(__name__).warning("no socket for other commands at %s: %s", path, why)
        return {}
    stack.callback(release, address, listening)
    return {path: listening}


def listen(texts: tuple[str, ...], stack: ExitStack, *, secure: bool) -> dict[str, socket.socket]:
    """Listening sockets, by the address that one would type."""
    sockets: dict[str, socket.socket] = {}
    for address in [parse(text) for text in texts]:
        listening = bind(address)
        stack.callback(release, address, listening)
        url = bound(address, listening).url
        sockets[url.replace("http:", "https:", 1) if secure else url] = listening
    return sockets


def write_textfile(path: Path, ledger: Ledger, stack: ExitStack) -> None:
    """Begin to write the metrics to a file that can be written now."""
    from gpudoctor.render.metrics_file import check, unwritable

    check(path)
    textfile = Textfile(path, ledger)
    try:
        textfile.write()
    except OSError as error:
        raise unwritable(path, error) from error
    textfile.start()
    click.echo(f"Writing {path}", err=True)
    stack.callback(textfile.stop)
