"""One run of the user's script with one setting changed, stopped cleanly after N optimizer steps."""

from __future__ import annotations

import atexit
import json
import os
import sys
from types import ModuleType
from typing import Any, Dict, List

from .. import program, tracebacks
from ..files import replace
from ..imports import ImportWatch
from .counter import Counter
from .findings import Findings

# `__main__` of the runner itself must stay alive when the program's takes its name.
_kept: List[Any] = []


def main() -> None:
    """Reads OPTIONS KIND TARGET [ARGS…] from sys.argv; leaves by the program's own way out."""
    options: Dict[str, Any] = json.loads(sys.argv[1])
    kind, target, arguments = sys.argv[2], sys.argv[3], sys.argv[4:]
    if hasattr(sys, "orig_argv"):
        typed = {"module": ["-m", target]}.get(kind, [target])
        sys.orig_argv[:] = [sys.orig_argv[0], *typed, *arguments]
    findings = Findings()
    report = _Report(options["result"], findings)
    counter = Counter(options, findings, report.stopped)
    report.counter = counter
    ImportWatch({"torch": _on_torch(options["setting"], counter, findings)}).install()
    atexit.register(report.write)
    try:
        code, module = program.load(kind, target, arguments)
        _kept.append(sys.modules["__main__"])
        sys.modules["__main__"] = module
        exec(code, module.__dict__)
    except BaseException as error:
        report.ended(error)
        tracebacks.install()
        raise


class _Report:
    """Writes what was seen, once, as soon as it is complete: the parent waits for the file."""

    def __init__(self, path: str, findings: Findings) -> None:
        self.counter: Any = None
        self._path = path
        self._findings = findings
        self._pid = os.getpid()
        self._written = False
        self._how = "finished"

    def ended(self, error: BaseException) -> None:
        """The program ended with an exception; SystemExit is its way of leaving."""
        self._how = f"{type(error).__name__}: {error}"[:1000]

    def stopped(self) -> None:
        """It has made its steps and is about to be ended by us."""
        self._how = "stopped"
        self.write()

    def write(self) -> None:
        if self._written or os.getpid() != self._pid:
            return
        self._written = True
        body = {"how": self._how, **self.counter.as_dict(), **self._findings.as_dict()}
        replace(self._path, json.dumps(body))


def _on_torch(setting: Dict[str, Any], counter: Counter, findings: Findings) -> Any:
    def imported(torch: ModuleType, ran: bool) -> None:
        if not ran:
            return
        from .changes import apply

        findings.about_torch(torch)
        counter.install(torch)
        for name, value in setting.items():
            apply(name, value, torch, counter, findings)

    return imported
