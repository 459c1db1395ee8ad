"""What can be done about a holder, the gentlest first."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.lineage import HostLook, Lineage
from gpudoctor.model.orphan import Offer, Reason, Verdict
from gpudoctor.reclaim import origins
from gpudoctor.reclaim.protection import service_of


def offers(
    process: Lineage | None,
    verdict: Verdict,
    reasons: tuple[Reason, ...],
    look: HostLook,
    holders: tuple[int, ...],
) -> tuple[Offer, ...]:
    """The offers that apply; none to a process that is in use. `holders` keep a dead one's memory."""
    if verdict is Verdict.IN_USE:
        return ()
    if process is None:
        return tuple(_for_ghost(holders))
    return tuple(_for_process(process, verdict, {reason.id for reason in reasons}, look))


def _for_ghost(holders: tuple[int, ...]) -> Iterator[Offer]:
    if holders:
        pids = " ".join(str(pid) for pid in holders)
        text = "End the processes that still have the GPU open."
        yield Offer("kill", f"gpudoctor kill {pids}", text)


def _for_process(
    process: Lineage, verdict: Verdict, ids: set[str], look: HostLook
) -> Iterator[Offer]:
    pid = process.key.pid
    unit = service_of(process)
    if unit is not None:
        user = " --user" if process.placement.system_unit is None else ""
        yield Offer("stop-unit", f"systemctl{user} stop {unit}", "Stop the unit that runs it.")
        return
    if process.placement.slurm_job is not None:
        job = process.placement.slurm_job
        yield Offer("cancel-job", f"scancel {job}", "Cancel the job that it is part of.")
    if "in-kernel" in ids:
        return
    if process.uid != look.own_uid and not look.may_read_all:
        owner = process.user or "its owner"
        yield Offer("ask", f"sudo gpudoctor kill {pid}", f"Ask {owner}, or an administrator.")
        return
    if "stopped" in ids and "in-hand" in ids:
        yield Offer("resume", "fg", "Type it in the shell that stopped the process.")
    if verdict is Verdict.SUSPECT and origins.is_python(process) and not ids & {"stopped"}:
        text = "Give back what torch keeps cached; the process lives on."
        yield Offer("empty-cache", f"gpudoctor empty-cache {pid}", text)
    if verdict is Verdict.SUSPECT and not ids & {"stopped"}:
        text = (
            "Move all of its GPU memory to the host, where the driver can; `unpark` brings it back."
        )
        yield Offer("park", f"gpudoctor park {pid}", text)
    yield Offer("kill", f"gpudoctor kill {pid}", "End it: SIGINT, then SIGTERM, then SIGKILL.")
