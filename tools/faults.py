"""Runs every command under every fault and writes docs/faults.md from what was seen.

`python -m tools.faults` runs all of it (some minutes: some faults are hangs) and keeps the outcomes in
tests/faults/outcomes.json; `--page` writes the page from the outcomes that are kept.
"""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.faults.staging import COMMANDS, FAULTS, Fault, run
from tests.nvml_sim.build import build
from tests.nvml_sim.fixtures import SimDriver
from tests.nvml_sim.presets import eight_h100

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
KEPT = ROOT / "tests" / "faults" / "outcomes.json"
# What these answer also depends on the machine: its Python, its kernel log, which pids are visible.
OF_THE_MACHINE = frozenset({"check --json", "orphans --json"})
_HEAD = """\
# When the driver does not behave

Every command that looks at the driver is run under every fault below, on the simulated driver. It has to end
in time, without a traceback, and with a documented exit code: 0 fine, 1 findings, 3 could not look. This page
is made from those runs by `python -m tools.faults`; `tests/faults` runs them again and compares.

The first column of codes is that of the text overview, `gpudoctor` without a terminal.

"""
_BETWEEN = """
"0 or 1": the fault alone does not decide it, but also what else is found on the machine. A driver that cannot
be asked is an error for `check` where the machine shows an NVIDIA GPU or its device files; `env` states it.

Where one GPU or one reading fails, the others are shown; what is missing is `–` (`null` in JSON), never 0.

## What is said

"""


class Outcome(NamedTuple):
    """How a command ends under a fault: its exit code, and the first line of its error if it has one."""

    code: int
    says: str


Table = dict[str, dict[str, Outcome]]


def observed(fault: Fault, command: str) -> Outcome:
    """Run it, on a machine of its own."""
    with tempfile.TemporaryDirectory() as folder:
        sim = SimDriver(eight_h100(), build(), Path(folder) / "state")
        sim.machine.write(sim.state)
        result = run(sim, fault, command, folder)
        return Outcome(result.code, result.says())


def kept() -> Table:
    """The outcomes as they were last seen."""
    raw = json.loads(KEPT.read_text())
    return {
        fault: {command: Outcome(*seen) for command, seen in row.items()}
        for fault, row in raw.items()
    }


def agrees(command: str, seen: Outcome, wanted: Outcome) -> bool:
    """Whether an outcome is the one that is kept, as far as the fault decides it."""
    if command in OF_THE_MACHINE and seen.code in (0, 1) and wanted.code in (0, 1):
        return True
    return seen == wanted


def page(table: Table) -> str:
    """docs/faults.md."""
    lines = ["| fault | " + " | ".join(map(_name, COMMANDS)) + " |"]
    lines.append("|---|" + ":-:|" * len(COMMANDS))
    for fault, row in table.items():
        cells = [_cell(command, row[command]) for command in COMMANDS]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    return _HEAD + "\n".join(lines) + "\n" + _BETWEEN + "\n".join(_said(table)) + "\n"


def _name(command: str) -> str:
    # A pipe would end the cell.
    return "overview" if "|" in command else f"`{command}`"


def _cell(command: str, outcome: Outcome) -> str:
    if command in OF_THE_MACHINE and outcome.code in (0, 1):
        return "0 or 1"
    return str(outcome.code)


def _said(table: Table) -> list[str]:
    lines = ["| fault | error | by |", "|---|---|---|"]
    for fault, row in table.items():
        words: dict[str, list[str]] = {}
        for command, outcome in row.items():
            if outcome.says:
                words.setdefault(outcome.says, []).append(_name(command))
        for said, commands in words.items():
            by = "all that could not look" if len(commands) > 2 else ", ".join(commands)
            lines.append(f"| {fault} | {said} | {by} |")
    return lines


def main(arguments: list[str]) -> None:
    """Run what there is to run, and write the page."""
    if arguments != ["--page"]:
        with ThreadPoolExecutor(4) as pool:
            table = {
                fault.name: dict(
                    zip(
                        COMMANDS, pool.map(lambda c, f=fault: observed(f, c), COMMANDS), strict=True
                    )
                )
                for fault in FAULTS
            }
        KEPT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(kept()))


if __name__ == "__main__":
    main(sys.argv[1:])
