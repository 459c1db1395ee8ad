"""`gpudoctor service`: the systemd unit of the daemon."""

from __future__ import annotations

import grp
import os
import sys
from pathlib import Path

import click

from gpudoctor.errors import GpuDoctorError

_NAME = "gpudoctor.service"
_ALLOW = click.option(
    "--allow-reclaim",
    is_flag=True,
    help="Give the service the rights that --reclaim-policy needs to end others' processes.",
)
_KERNEL_LOG = click.option(
    "--kernel-log",
    is_flag=True,
    help="Let the service read Xids from the kernel log, too (CAP_SYSLOG).",
)
# What the daemon reads as the user that it runs as, and others often may not.
_SECRETS = ("token_file", "tls_cert", "tls_key", "tls_client_ca", "web_config")
_FORWARDED = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group()
def service() -> None:
    """Run the daemon under systemd."""


def _command(arguments: tuple[str, ...]) -> list[str]:
    # By the interpreter, not by the script on the PATH: that may be another installation. Without the
    # folder in which it starts, which is a user's home and may hold a json.py.
    waiting = [] if "--wait-for-driver" in arguments else ["--wait-for-driver"]
    return [sys.executable, "-P", "-m", "gpudoctor", "serve", *waiting, *arguments]


def _folder(user: bool) -> Path:
    if not user:
        return Path("/etc/systemd/system")
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user"


@service.command(context_settings=_FORWARDED)
@click.option("--user", is_flag=True, help="For your own services; needs no root.")
@_ALLOW
@_KERNEL_LOG
@click.argument("arguments", nargs=-1, metavar="[-- SERVE OPTIONS]")
def show(user: bool, allow_reclaim: bool, kernel_log: bool, arguments: tuple[str, ...]) -> None:
    """Print the unit that install would write."""
    click.echo(_unit(user, allow_reclaim, kernel_log, arguments), nl=False)


@service.command(context_settings=_FORWARDED)
@click.option("--user", is_flag=True, help="For your own services; needs no root.")
@click.option("--force", is_flag=True, help="Overwrite a unit that says something else.")
@_ALLOW
@_KERNEL_LOG
@click.argument("arguments", nargs=-1, metavar="[-- SERVE OPTIONS]")
def install(
    user: bool, force: bool, allow_reclaim: bool, kernel_log: bool, arguments: tuple[str, ...]
) -> None:
    """Write the unit, and say how to start it.

    What follows `--` are options of `gpudoctor serve`, as in:
    gpudoctor service install --user -- --listen 0.0.0.0:9836 --interval 10
    """
    _check(arguments)
    path = _folder(user) / _NAME
    text = _unit(user, allow_reclaim, kernel_log, arguments)
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text and not force:
            raise GpuDoctorError(
                f"{path} exists already and says something else",
                hint="Give --force to overwrite it.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GpuDoctorError(
            f"{path} cannot be written",
            cause=error.strerror,
            hint="Use sudo, or --user for your own services.",
        ) from error
    hidden = None if user or allow_reclaim else _hidden(Path(sys.executable), Path(__file__))
    if hidden is not None:
        click.echo(
            f"warning: {hidden} is closed to the service's user, which will not start: install "
            "gpudoctor where all may read it, as in /opt.",
            err=True,
        )
    control = "systemctl --user" if user else "systemctl"
    click.echo(f"Wrote {path}", err=True)
    click.echo(f"Start it now and at every boot:\n  {control} daemon-reload", err=True)
    click.echo(f"  {control} enable --now {_NAME}", err=True)
    if user:
        click.echo(
            "So that it runs while you are not logged in:\n  loginctl enable-linger", err=True
        )


def _unit(user: bool, reclaim: bool, kernel_log: bool, arguments: tuple[str, ...]) -> str:
    from gpudoctor.daemon.unit import unit

    _check_reclaim(arguments, reclaim)
    if user and kernel_log:
        raise GpuDoctorError(
            "--kernel-log and --user exclude each other",
            hint="A service of your own can be given no rights; install that of the system.",
        )
    files = _files(arguments)
    groups = () if user or reclaim else _groups(files)
    command = _command(arguments)
    return unit(command, system=not user, reclaim=reclaim, kernel_log=kernel_log, groups=groups)


def _files(arguments: tuple[str, ...]) -> dict[str, Path]:
    """The files that the options of the daemon name, by the options' names.

    Raises:
        GpuDoctorError: one is named as seen from here, but systemd starts the daemon elsewhere.
    """
    from gpudoctor.cli.serve import serve

    with serve.make_context("gpudoctor serve", list(arguments)) as context:
        files = {name: it for name, it in context.params.items() if isinstance(it, Path)}
    for path in files.values():
        if not path.is_absolute():
            raise GpuDoctorError(
                f"{path} would not be found: systemd starts the daemon in another folder",
                hint=f"Name it as {path.absolute()}",
            )
    return files


def _groups(files: dict[str, Path]) -> tuple[str, ...]:
    """The groups that the service's user needs to read its files.

    Raises:
        GpuDoctorError: no group may read one of them: the daemon would not start.
    """
    secrets = [files[name] for name in _SECRETS if name in files]
    found = {_group(path): None for path in secrets if path.exists()}
    return tuple(name for name in found if name)


def _group(path: Path) -> str:
    """The group by which a user of no rights reads the file; empty where all may."""
    status = path.stat()
    if status.st_mode & 0o004:
        return ""
    # Root's own group would open more than this file.
    if status.st_gid and status.st_mode & 0o040:
        try:
            return grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            return str(status.st_gid)
    raise GpuDoctorError(
        f"the service's user could not read {path}",
        hint="Give the file to a group, and install again: groupadd --system gpudoctor-files; "
        f"chgrp gpudoctor-files {path}; chmod 640 {path}",
    )


def _hidden(*paths: Path) -> Path | None:
    """The first of what the paths lead through that other users may not enter or read."""
    for path in paths:
        for place in (*reversed(path.parents), path, *reversed(path.resolve().parents)):
            needed = 0o001 if place.is_dir() else 0o004
            if not place.stat().st_mode & needed:
                return place
    return None


def _check_reclaim(arguments: tuple[str, ...], allowed: bool) -> None:
    """Rights that nothing uses are not given."""
    named = any(one.partition("=")[0] == "--reclaim-policy" for one in arguments)
    if allowed and not named:
        raise GpuDoctorError(
            "--allow-reclaim is of no use without a policy",
            hint="Name one behind the dashes: -- --reclaim-policy /etc/gpudoctor/reclaim.toml",
        )


def _check(arguments: tuple[str, ...]) -> None:
    """Refuse now what the daemon would refuse at every start."""
    from gpudoctor.cli.serve import serve
    from gpudoctor.daemon.listen import parse

    with serve.make_context("gpudoctor serve", list(arguments)) as context:
        for text in context.params["listen"]:
            parse(text)
