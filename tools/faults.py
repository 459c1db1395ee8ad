"""Runs every command under every fault and writes docs/faults.md from what was seen.

`python -m tools.faults` runs all of it (a minute or two) and keeps the outcomes in
tests/faults/outcomes.json; with the names of faults, only these. `--page` writes the page from the
outcomes that are kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from tests.faults.commands import APART, COMMANDS, Result
from tests.faults.staging import FAULTS, Fault, Runs

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
KEPT = ROOT / "tests" / "faults" / "outcomes.json"
_HEAD = """\
# When the driver does not behave

Every command that looks at the driver is run under every fault below, on the simulated driver. It has to
end in time, without a traceback, and with a documented exit code: 0 fine, 1 findings, 2 refused,
3 could not look. This page is made from those runs by `python -m tools.faults`; `tests/faults` runs them
again and compares.

"overview" is `gpudoctor` without a terminal. The terminal UI is started on one and ended with `q`; `serve` is
scraped once and ended with SIGTERM. `kill`, `empty-cache`, `park`, `unpark` and `env --pid` name a Python
process without torch that the driver sees on GPU 0; `park` and `unpark` load a simulated `libcuda.so.1`.
Another user's processes are `nobody`'s, looked at by a user without rights; to bring that about takes root,
and is passed over without. A clock that jumps is ahead by a day for every other half second, and the
kernel's boot time with it.

"""
_BETWEEN = """
"0 or 1": the fault alone does not decide it, but also what else is found on the machine. A driver that cannot
be asked is an error for `check` where the machine shows an NVIDIA GPU or its device files; `env` states it.

Where one GPU or one reading fails, the others are shown; what is missing is `–` (`null` in JSON), never 0.

## What is said

"""


_APART = """
## One call, one disk, one clock

`tests/faults/test_each_call.py` makes every function of the driver that a look uses answer each of 15
errors: no value becomes 0 that was not, the GPU keeps its name, and the other GPU stays as it was.
`test_host.py` looks while the driver is reloaded, MIG is switched and processes come and go, and sets the
clock: processes stay the same and as old, and a daemon goes on answering for them. Where a disk is full,
the command says so and ends with 3; a reader that has gone (`head`) is no error.

## Commands that never ask the driver

They end the same with a driver and without one.

"""


class Outcome(NamedTuple):
    """How a command ends under a fault: its exit code, and the first line of its error if it has one."""

    code: int
    says: str


Table = dict[str, dict[str, Outcome]]


def kept() -> Table:
    """The outcomes as they were last seen."""
    raw = json.loads(KEPT.read_text())
    return {
        fault: {command: Outcome(*seen) for command, seen in row.items()}
        for fault, row in raw.items()
    }


def agrees(command: str, seen: Outcome, wanted: Outcome) -> bool:
    """Whether an outcome is the one that is kept, as far as the fault decides it."""
    if COMMANDS[command].of_the_machine and seen.code in (0, 1) and wanted.code in (0, 1):
        return True
    return seen == wanted


def page(table: Table) -> str:
    """docs/faults.md. Commands that end alike under every fault share a column."""
    columns = _columns(table)
    letters = [chr(ord("A") + place) for place in range(len(columns))]
    lines = ["| fault | " + " | ".join(letters) + " |", "|---|" + ":-:|" * len(columns)]
    for fault in table:
        cells = [cells[fault] for cells, _ in columns]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    legend = [
        f"- {letter}: {', '.join(names)}"
        for letter, (_, names) in zip(letters, columns, strict=True)
    ]
    parts = [_HEAD, "\n".join(legend), "\n\n", "\n".join(lines), "\n", _BETWEEN]
    return "".join(parts) + "\n".join(_said(table)) + "\n" + _APART + "\n".join(_apart()) + "\n"


def _columns(table: Table) -> list[tuple[dict[str, str], list[str]]]:
    columns: list[tuple[dict[str, str], list[str]]] = []
    for command in COMMANDS:
        cells = {fault: _cell(command, row[command]) for fault, row in table.items()}
        for alike, names in columns:
            if alike == cells:
                names.append(_name(command))
                break
        else:
            columns.append((cells, [_name(command)]))
    return columns


def _apart() -> list[str]:
    lines = ["| command | exit code |", "|---|:-:|"]
    for name, (_, code) in APART.items():
        command, _, why = name.partition(" (")
        lines.append(f"| `{command}`{' (' if why else ''}{why} | {code} |")
    return lines


def _name(command: str) -> str:
    return f"`{command}`" if command not in ("overview", "terminal UI") else command


def _cell(command: str, outcome: Outcome) -> str:
    if COMMANDS[command].of_the_machine and outcome.code in (0, 1):
        return "0 or 1"
    return str(outcome.code)


def _said(table: Table) -> list[str]:
    lines = ["| fault | error | by |", "|---|---|---|"]
    healthy = table[FAULTS[0].name]
    for fault, row in table.items():
        words: dict[str, list[str]] = {}
        for command, outcome in row.items():
            if outcome.says and outcome != healthy[command]:
                words.setdefault(outcome.says, []).append(_name(command))
        for said, commands in words.items():
            by = "all that could not look" if len(commands) > 2 else ", ".join(commands)
            lines.append(f"| {fault} | {said} | {by} |")
    return lines


def _seen(faults: list[Fault]) -> Table:
    for fault in faults:
        if why := fault.why_not():
            raise SystemExit(f"{fault.name} cannot be brought about here: {why}")
    runs = Runs(faults)
    table: Table = {}
    for fault in faults:
        table[fault.name] = {}
        for command, seen in runs.of(fault).items():
            if not isinstance(seen, Result):
                raise SystemExit(f"{command} under {fault.name} did not end: {seen}")
            table[fault.name][command] = Outcome(seen.code, seen.says())
    runs.close()
    return table


def main(arguments: list[str]) -> None:
    """Run what there is to run, and write the page."""
    if arguments != ["--page"]:
        wanted = [fault for fault in FAULTS if not arguments or fault.name in arguments]
        old = kept() if arguments else {}
        new = {**old, **_seen(wanted)}
        table = {fault.name: new[fault.name] for fault in FAULTS}
        KEPT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(kept()))


if __name__ == "__main__":
    main(sys.argv[1:])
