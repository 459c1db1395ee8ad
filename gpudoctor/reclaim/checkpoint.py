"""Runs checkpoint_child.py, the only caller of the driver's checkpoint functions, with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("checkpoint_child.py")
STATE_LIMIT_S = 15.0
# cuInit answers for the GPUs that it sees: the target's may be others than our own environment's.
_HIDING = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_PRELOAD")
_KILLED_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call into the driver with its CUDA error code; `error` where it could not be made."""

    name: str
    code: int | None
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it did not do what it was to do."""
        return self.code != 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a run went: the calls in order, the last state that the driver told, and why it ended.

    `refused` is why the child called nothing more; `calling` the call that it was in when it did
    not answer in time (`timed_out`) or died (`died`).
    """

    calls: tuple[Call, ...]
    state: str | None
    refused: str | None
    calling: str | None
    timed_out: bool
    died: str | None
    seconds: float

    def call(self, name: str) -> Call | None:
        """The last call of that function, or None when it was not called."""
        return next((one for one in reversed(self.calls) if one.name == name), None)


def run(
    action: str, pid: int, start_ticks: int, *, limit_s: float, lock_ms: int = 10_000
) -> Answer:
    """Does `action` (park, unpark, unlock, state) to a process. Takes at most `limit_s` and a second.

    `look` calls nothing: it loads the driver's library and finds the functions in it.
    """
    begun = time.monotonic()
    environ = {name: value for name, value in os.environ.items() if name not in _HIDING}
    # A file in memory, not a pipe: what a hung child said stays readable.
    out = os.memfd_create("checkpoint-stdout")
    try:
        child = subprocess.Popen(
            [sys.executable, "-I", str(SCRIPT), action, str(pid), str(start_ticks), str(lock_ms)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=environ,
            # Ctrl-C must not end it between a lock and its unlock.
            start_new_session=True,
        )
        code = _wait(child, limit_s)
        text = os.pread(out, os.fstat(out).st_size, 0).decode("utf-8", "replace")
    finally:
        os.close(out)
    return _answer(text, code, time.monotonic() - begun)


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> int | None:
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        # One that hangs inside the kernel dies only when the driver lets go of it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_KILLED_WAIT_S)
        return None


def _answer(text: str, code: int | None, seconds: float) -> Answer:
    calls: list[Call] = []
    said: dict[str, Any] = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if "call" in values:
            name = values.get("name")
            calls.append(Call(values["call"], values.get("code"), values.get("error") or name))
            values = {"calling": None}
        said.update(values)
    finished = bool(said.get("done"))
    return Answer(
        calls=tuple(calls),
        state=said.get("state"),
        refused=said.get("refused"),
        calling=said.get("calling"),
        timed_out=code is None,
        died=None if finished or code is None else _died_of(code),
        seconds=seconds,
    )


def _died_of(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
