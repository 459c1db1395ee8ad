"""Profiles, sessions and traces to test rules and readers on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gpudoctor.model.profile import LineTime, Profile, RunFacts, StepTimes, Window

RUN = RunFacts(
    program=("main.py",),
    cwd="/home/me",
    started_at=0.0,
    wall_seconds=12.0,
    main_cpu_seconds=11.0,
    how="finished",
    exit_code=0,
    exception=None,
    exception_line=None,
    python_version="3.11.7",
    python_executable="/usr/bin/python",
    held_up_seconds=0.1,
)
STEPS = StepTimes("optimizer", 100, 10.0, 0.1, 0.12, 0.3, (0.1,) * 99)
WINDOW = Window(5, 4, 0.4, 0.1, 0.05, operator_calls=400, operator_seconds=0.35)


def profile(**changes) -> Profile:
    return replace(Profile(RUN, None, STEPS, window=WINDOW), **changes)


def line(number=7, seconds=1.0, phase="step", text="x = f(x)", **changes) -> LineTime:
    return LineTime(
        source_line=f"/home/me/main.py:{number}",
        function="main",
        phase=phase,
        self_seconds=seconds,
        total_seconds=seconds,
        text=text,
        **changes,
    )


BODY = {
    "format": 1,
    "pid": 77,
    "program": ["main.py"],
    "cwd": "/home/me",
    "python": {"version": "3.11.7", "executable": "/usr/bin/python"},
    "started_at": 1.0,
    "wall_seconds": 2.0,
    "main_cpu_seconds": 1.5,
    "held_up_seconds": 0.0,
    "ended": {"how": "finished"},
    "torch": None,
    "steps": {"count": 3, "span_seconds": 0.2, "seconds": [0.1, 0.1]},
    "batches": {"count": 0, "span_seconds": 0.0, "seconds": []},
    "optimizers": [],
    "loaders": [],
    "window": {"state": "waiting"},
    "growth": [],
    "memory": [[0.0, 1000]],
    "samples": None,
}


def session(folder: Path, **changes) -> Path:
    """A session folder as the runner writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "session.json").write_text(json.dumps(BODY | changes))
    return folder


def event(name, ts, dur, cat="cpu_op", tid=77, external=None) -> dict:
    arguments = {} if external is None else {"External id": external}
    return {
        "ph": "X",
        "cat": cat,
        "name": name,
        "pid": 77,
        "tid": tid,
        "ts": ts,
        "dur": dur,
        "args": arguments,
    }


def trace(folder: Path, events: list[dict], base_ns: int = 0) -> Path:
    path = folder / "trace.json"
    path.write_text(json.dumps({"baseTimeNanoseconds": base_ns, "traceEvents": events}))
    return path
