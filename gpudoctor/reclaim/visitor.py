"""Enters a process from a process of its own, so that whatever ends gpudoctor does not hit the target.

A target whose thread is borrowed would crash if its visitor were killed at that moment. The helper has
a session of its own, which no Ctrl-C, hang-up or kill of gpudoctor's group reaches, and withdraws the
request when gpudoctor is gone.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import Any

import msgspec

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.decoding import convert, decoder
from gpudoctor.model.injection import Visit
from gpudoctor.reclaim.entrance import Entrance
from gpudoctor.reclaim.inject import TIMEOUT_S, visit

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from gpudoctor.reclaim.visitor import serve; serve()"
)


def visit_apart(way_in: Entrance, source: str, *, timeout_s: float = TIMEOUT_S) -> Visit:
    """As `inject.visit`, in a helper process.

    Raises:
        GpuDoctorError: the process could not be entered; nothing ran.
    """
    request = {"way_in": way_in, "source": source, "timeout_s": timeout_s}
    helper = subprocess.Popen(
        [sys.executable, "-I", "-c", _START, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert helper.stdin is not None
    assert helper.stdout is not None
    assert helper.stderr is not None
    with helper.stdin, helper.stdout, helper.stderr:
        helper.stdin.write(msgspec.json.encode(request) + b"\n")
        helper.stdin.flush()
        # The request stays open as long as somebody waits for the answer.
        answer = helper.stdout.read()
        complaint = helper.stderr.read().decode("utf-8", "replace").strip()
    helper.wait()
    return _understood(answer, complaint)


def _understood(answer: bytes, complaint: str) -> Visit:
    if not answer:
        last = complaint.rpartition("\n")[2] or "it was killed"
        raise GpuDoctorError("the visit's helper failed", cause=last)
    told: dict[str, Any] = json.loads(answer)
    if "error" in told:
        error = told["error"]
        raise GpuDoctorError(
            error["message"],
            cause=error["cause"],
            hint=error["hint"],
            exit_code=ExitCode(error["exit_code"]),
        )
    return convert(told["visit"], Visit)


class _Request(msgspec.Struct):
    way_in: Entrance
    source: str
    timeout_s: float


def serve() -> None:
    """The helper: reads one request from stdin, and writes the visit or the error to stdout."""
    request = decoder(_Request).decode(sys.stdin.buffer.readline())
    told: dict[str, Any]
    try:
        done = visit(request.way_in, request.source, timeout_s=request.timeout_s, wanted=_wanted)
        told = {"visit": done}
    except GpuDoctorError as error:
        parts = (error.message, error.cause, error.hint, int(error.exit_code))
        told = {"error": dict(zip(("message", "cause", "hint", "exit_code"), parts, strict=True))}
    sys.stdout.buffer.write(msgspec.json.encode(told))


def _wanted() -> bool:
    """Whether gpudoctor still waits: it sends nothing more, so what can be read is its end."""
    return not select.select([sys.stdin.buffer.fileno()], [], [], 0)[0]
