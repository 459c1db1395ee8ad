"""The tables of commands and of the root's options.

Imports nothing, so that --help stays fast: `typing`, for named tuples, costs more than printing the help.
"""

from __future__ import annotations


class Command:
    """`target` is "module:attribute" of a click command, imported only when the command is used."""

    __slots__ = ("name", "summary", "target")

    def __init__(self, name: str, target: str, summary: str) -> None:
        self.name, self.target, self.summary = name, target, summary


class RootOption:
    """An option before the command. Without a `metavar` it is a flag."""

    __slots__ = ("metavar", "name", "summary")

    def __init__(self, name: str, metavar: str, summary: str) -> None:
        self.name, self.metavar, self.summary = name, metavar, summary


SUMMARY = "What is wrong with this GPU machine, in plain words, with the evidence and the fix."
EPILOG = (
    "Without a command: the terminal UI. Exit codes: 0 fine, 1 findings, 2 usage,\n"
    "3 could not look, 130 interrupted."
)

ROOT_OPTIONS: tuple[RootOption, ...] = (
    RootOption("--demo", "", "Show a simulated 8-GPU machine."),
    RootOption("--replay", "FILE", "Show a recording made with `gpudoctor record`."),
    RootOption("--config", "FILE", "Read settings from FILE."),
    RootOption("--once", "", "Print one text overview and exit, even on a terminal."),
    RootOption("--read-only", "", "Offer nothing that acts, runs a script or writes a file."),
    RootOption("--ascii", "", "Draw with plain ASCII characters only."),
    RootOption("--no-daemon", "", "Ask the driver, even where `gpudoctor serve` runs."),
    RootOption("--version", "", "Show the version and exit."),
    RootOption("--verbose", "", "With --version: all that a bug report needs."),
    RootOption("--json", "", "With --version --verbose: as one JSON object."),
    RootOption("--help", "", "Show this message and exit."),
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "check",
        "gpudoctor.cli.check:check",
        "Diagnose driver, GPUs, torch, settings and a script.",
    ),
    Command("ps", "gpudoctor.cli.ps:ps", "Show the processes on the GPUs: whose memory is it?"),
    Command(
        "orphans", "gpudoctor.cli.orphans:orphans", "List what is left over on the GPUs, and why."
    ),
    Command("kill", "gpudoctor.cli.kill:kill", "End processes and watch their memory come back."),
    Command(
        "empty-cache",
        "gpudoctor.cli.empty_cache:empty_cache",
        "Give back what torch caches inside a live process.",
    ),
    Command("park", "gpudoctor.cli.park:park", "Move a process's GPU memory to the host."),
    Command("unpark", "gpudoctor.cli.park:unpark", "Bring parked processes back to their GPUs."),
    Command(
        "reset", "gpudoctor.cli.reset:reset", "Check what resetting a GPU needs and interrupts."
    ),
    Command("env", "gpudoctor.cli.env:env", "Report torch, CUDA, cuDNN, driver and devices."),
    Command(
        "visible",
        "gpudoctor.cli.visible:visible",
        "Show which physical GPU each cuda:N is, and why.",
    ),
    Command(
        "pick", "gpudoctor.cli.pick:pick", "Choose free GPUs; print them or run a command on them."
    ),
    Command(
        "profile", "gpudoctor.cli.profile:profile", "Run a script once and say where its time goes."
    ),
    Command("bench", "gpudoctor.cli.bench:bench", "Measure cuDNN's modes, or a script's settings."),
    Command("web", "gpudoctor.cli.web:web", "Show the terminal UI in a browser, read-only."),
    Command(
        "serve", "gpudoctor.cli.serve:serve", "Run the daemon: Prometheus metrics and a JSON API."
    ),
    Command("history", "gpudoctor.cli.history:history", "Show what happened on the GPUs."),
    Command("fleet", "gpudoctor.cli.fleet:fleet", "Show many machines, by their Prometheus."),
    Command("service", "gpudoctor.cli.service:service", "Run the daemon under systemd."),
    Command("metrics", "gpudoctor.cli.metrics:metrics", "Explain the metrics that serve gives."),
    Command(
        "dashboards",
        "gpudoctor.cli.dashboards:dashboards",
        "Write Grafana dashboards and alert rules to a folder.",
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
    Command(
        "completion",
        "gpudoctor.cli.completion:completion",
        "Print the completion script of a shell.",
    ),
)
