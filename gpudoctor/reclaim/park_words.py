"""What the driver's answers mean, in words, and what to do then."""

from __future__ import annotations

from gpudoctor.model.parking import ParkOutcome
from gpudoctor.reclaim.checkpoint import Answer, Call

NOT_READY = 600
_CODES = {
    1: ("the driver does not know this process, or it holds no CUDA context", None),
    2: ("there is not enough memory for it", "See who holds the GPU: gpudoctor ps"),
    304: (
        "the operating system refused something inside the driver",
        "Run it with sudo, and with persistence mode on (nvidia-smi -pm 1).",
    ),
    401: ("the process is in a state from which this cannot be done", None),
    NOT_READY: (
        "its work on the GPU did not end within the lock's time",
        "Try again later, or give it more time with --lock-timeout.",
    ),
    800: ("the driver does not permit it", "Run it with sudo, and with persistence mode on."),
    801: (
        "the driver does not support it for this process",
        "Managed memory, MPS, MIG and, before driver 610, CUDA IPC are not supported.",
    ),
}
_REFUSALS = {
    "gone": "the process ended before anything was done",
    "reused": "the process ended, and its pid is another's by now",
    "thread": "the number names a thread, not a process",
    "no library": "libcuda.so.1 cannot be loaded",
    "no function": "this driver's libcuda.so.1 has no checkpoint functions",
}
_UNSEEN = "In a container, NVIDIA_DRIVER_CAPABILITIES must name compute."
_AFTERWARDS = {
    ParkOutcome.LOCKED: (
        "its CUDA calls are blocked until it is unlocked",
        "Try `gpudoctor unpark {pid}`; if that fails too, only ending the process helps.",
    ),
    ParkOutcome.UNKNOWN: (
        "what became of it is not known",
        "`gpudoctor unpark {pid}` asks again and brings it back; see `dmesg` for Xid lines, too.",
    ),
    ParkOutcome.DIED: ("the process died of it", None),
}


def explained(answer: Answer, outcome: ParkOutcome, pid: int) -> tuple[str | None, str | None]:
    """The reason why it went as it went, and a hint; both None where all went well."""
    detail, hint = reason(answer)
    after = _AFTERWARDS.get(outcome)
    if outcome is ParkOutcome.UNKNOWN and answer.refused is not None and not answer.calling:
        after = ("nothing was done, and whether it is parked is not known", None)
    if after is not None:
        detail = "; ".join(filter(None, (detail, after[0])))
        hint = after[1].format(pid=pid) if after[1] else hint
    return detail, hint


def reason(answer: Answer) -> tuple[str | None, str | None]:
    """Why the driver did not do all that it was asked, and a hint; both None where it did."""
    if answer.timed_out:
        where = f" to {_function(answer.calling)}" if answer.calling else ""
        return f"the driver gave no answer{where} within {answer.seconds:.0f} s", None
    if answer.died is not None:
        where = f" in {_function(answer.calling)}" if answer.calling else ""
        return f"the program that asked the driver died{where}: {answer.died}", None
    # cuInit may fail where persistence mode is on, and the restore succeeds all the same.
    failed = next((one for one in answer.calls if one.failed and one.name != "cuInit"), None)
    if failed is not None and failed.code is not None:
        return _failure(failed)
    if answer.refused is not None:
        loader = answer.call("dlopen")
        said = f": {loader.error}" if loader is not None else ""
        hint = _UNSEEN if loader is not None else None
        return _REFUSALS.get(answer.refused, answer.refused) + said, hint
    return None, None


def _failure(call: Call) -> tuple[str, str | None]:
    known = _CODES.get(call.code or 0)
    said = f"{_function(call.name)} answered {call.error} ({call.code})"
    return (said, None) if known is None else (f"{known[0]}: {said}", known[1])


def _function(name: str) -> str:
    return name if name.startswith("cu") else f"cuCheckpointProcess{name}"
