from __future__ import annotations

from gpudoctor.model.ending import Ending, KillReport, MemoryReturn, Outcome, Target
from gpudoctor.model.injection import CacheOnDevice, CacheReport
from gpudoctor.reclaim.orphans import judge
from gpudoctor.render.cache import report_lines as cache_lines
from gpudoctor.render.ending import report_lines
from gpudoctor.render.orphans import report
from tests.builders import GIB
from tests.reclaim.builders import lineage, twice


def text(lines) -> str:
    return "\n".join(line.plain for line in lines)


def test_an_orphan_is_shown_with_reasons_evidence_and_offers():
    found = judge(*twice(lineage(deleted_terminal="/dev/pts/3 (deleted)")))
    shown = text(report(found, 2, 30.0))
    assert "orphan   pid 100  ana  10.0 GiB on GPU 0  python train.py" in shown
    assert " ! its terminal was closed  (/dev/pts/3 (deleted))" in shown
    assert "-> gpudoctor kill 100" in shown
    assert "1 orphan, 0 suspects, 2 in use; 10.0 GiB would come back" in shown


def test_nothing_left_over_is_one_line():
    assert text(report((), 3, 30.0)) == "0 orphans, 0 suspects, 3 in use; watched for 30.0 s."
    assert "not watched, so only what is certain is named." in text(report((), 3, 0.0))


def test_a_command_cannot_drive_the_terminal():
    found = judge(
        *twice(lineage(command=("python", "\x1b[2J"), deleted_terminal="/dev/pts/3 (deleted)"))
    )
    assert "\x1b" not in text(report(found, 0, 0.0))


def ended(outcome: Outcome, *gpus: MemoryReturn, detail: str | None = None) -> str:
    endings = (Ending(7, outcome, ("SIGINT",), 0.5, detail),)
    return text(report_lines(KillReport(False, (Target(7, 1, "python"),), endings, gpus, 1.0)))


def test_memory_that_came_back_is_told_by_gpu():
    gpu = MemoryReturn(3, "u", 30 * GIB, 10 * GIB, 20 * GIB)
    told = ended(Outcome.ENDED, gpu)
    assert "7  ended by SIGINT after 500 ms" in told
    assert "GPU 3: 20.0 GiB came back after 1.00 s, 10.0 GiB in use" in told


def test_memory_that_is_held_yet_is_told_with_its_holders():
    told = ended(Outcome.ENDED, MemoryReturn(0, "u", GIB, GIB, 0, (7,), (8, 9)))
    assert "no memory came back" in told
    assert "gpudoctor kill 8 9" in told


def test_a_process_in_the_kernel_is_told_with_the_place():
    told = ended(Outcome.STUCK, detail="state D in nv_wait: no signal arrives there")
    assert "cannot be ended" in told
    assert "nv_wait" in told


def test_unknown_memory_is_not_called_zero():
    told = ended(Outcome.ENDED, MemoryReturn(0, "u", None, None, None))
    assert "does not tell" in told


def test_an_emptied_cache_is_told_by_device():
    device = CacheOnDevice(1, 9 * GIB, 4 * GIB, 4 * GIB, 4 * GIB)
    told = text(cache_lines(CacheReport(7, "emptied", None, 0.01, 0.001, devices=(device,))))
    assert "Process 7 gave back 5.0 GiB." in told
    assert "cuda:1  reserved 9.0 GiB -> 4.0 GiB, 4.0 GiB of it live tensors" in told


def test_a_refusal_is_told_with_its_reason():
    told = text(cache_lines(CacheReport(7, "refused", "expandable segments", 0.01, 0.001)))
    assert "refused: expandable segments" in told
