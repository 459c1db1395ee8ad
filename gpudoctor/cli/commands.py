"""The table of commands: name, where it lives, one line of help. Imports nothing."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`target` is "module:attribute" of a click command, imported only when the command is used."""

    name: str
    target: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("ps", "gpudoctor.cli.ps:ps", "Show the processes on the GPUs: whose memory is it?"),
    Command("env", "gpudoctor.cli.env:env", "Report torch, CUDA, cuDNN, driver and devices."),
    Command(
        "profile", "gpudoctor.cli.profile:profile", "Run a script once and say where its time goes."
    ),
    Command(
        "serve", "gpudoctor.cli.serve:serve", "Run the daemon: Prometheus metrics and a JSON API."
    ),
    Command(
        "record",
        "gpudoctor.cli.record:record",
        "Record this machine to a file that --replay plays.",
    ),
    Command(
        "schema",
        "gpudoctor.cli.schema:schema",
        "Print the JSON schema of a command's --json output.",
    ),
)
