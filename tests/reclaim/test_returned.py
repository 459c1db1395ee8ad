from __future__ import annotations

from gpudoctor.model.readings import MemoryReading
from gpudoctor.reclaim.returned import watch_memory
from tests.builders import GIB, device, process, snapshot, uuid_of


def seen(used: int | None, *pids: int):
    memory = MemoryReading(80 * GIB, used, None)
    return snapshot(
        device(memory=memory), processes=tuple(process(pid, used=10 * GIB) for pid in pids)
    )


def script(*snapshots):
    rest = list(snapshots)
    return lambda: rest.pop(0) if len(rest) > 1 else rest[0]


def test_memory_that_comes_back_late_is_waited_for():
    before = seen(20 * GIB, 100)
    see = script(seen(20 * GIB, 100), seen(20 * GIB), seen(10 * GIB))
    (gpu,), waited = watch_memory(before, {100}, see)
    assert gpu.freed_bytes == 10 * GIB
    assert gpu.still_listed == ()
    assert 0.4 < waited < 3


def test_memory_that_does_not_come_back_is_told_with_the_pid_that_is_listed_yet():
    before = seen(20 * GIB, 100)
    (gpu,), waited = watch_memory(before, {100}, script(before), patience_s=0.3)
    assert gpu.uuid == uuid_of(0)
    assert gpu.freed_bytes == 0
    assert gpu.still_listed == (100,)
    assert waited >= 0.3


def test_unknown_memory_stays_unknown():
    (gpu,), _ = watch_memory(seen(None, 100), {100}, script(seen(None)), patience_s=1)
    assert gpu.freed_bytes is None


def test_nothing_is_waited_for_when_no_gpu_was_in_use():
    gpus, waited = watch_memory(seen(20 * GIB, 100), {7}, script(seen(20 * GIB, 100)))
    assert gpus == ()
    assert waited < 0.2
