"""The child that asks the driver, on the simulated libcuda.so.1 and real processes."""

from __future__ import annotations

import os
import time

import pytest

from gpudoctor.host.proc_files import read_stat
from gpudoctor.reclaim import checkpoint
from tests.cuda_sim.fixtures import CHECKPOINTED, RUNNING
from tests.reclaim.children import PROC


@pytest.fixture
def ask(cuda_sim, monkeypatch):
    def run(action, job, **options):
        for name, value in cuda_sim.env.items():
            monkeypatch.setenv(name, value)
        ticks = options.pop("ticks", None) or read_stat(PROC, job.pid).start_ticks
        return checkpoint.run(action, job.pid, ticks, **({"limit_s": 10.0} | options))

    return run


def test_a_running_process_is_locked_then_checkpointed(cuda_sim, ask):
    job = cuda_sim.job(0)
    answer = ask("park", job)
    assert answer.state == "checkpointed"
    assert cuda_sim.calls == ["Lock", "Checkpoint"]
    assert job.state == CHECKPOINTED
    assert job.alive


def test_a_checkpointed_process_is_restored_then_unlocked_after_cu_init(cuda_sim, ask):
    job = cuda_sim.job(0)
    ask("park", job)
    answer = ask("unpark", job)
    assert answer.state == "running"
    assert cuda_sim.calls == ["Lock", "Checkpoint", "cuInit", "Restore", "Unlock"]
    assert job.state == RUNNING


def test_a_lock_that_runs_into_its_limit_leaves_the_process_running(cuda_sim, ask):
    job = cuda_sim.job(0)
    cuda_sim.busy(job)
    begun = time.monotonic()
    answer = ask("park", job, lock_ms=300)
    assert time.monotonic() - begun >= 0.3
    assert answer.call("Lock").code == 600
    assert answer.state == "running"
    assert cuda_sim.calls == ["Lock"]


def test_a_checkpoint_that_fails_is_unlocked_again(cuda_sim, ask):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "error", 801)
    answer = ask("park", job)
    assert answer.call("Checkpoint").error == "CUDA_ERROR_NOT_SUPPORTED"
    assert answer.state == "running"
    assert cuda_sim.calls == ["Lock", "Checkpoint", "Unlock"]
    assert job.state == RUNNING


def test_a_call_that_hangs_ends_with_the_limit_and_its_name(cuda_sim, ask):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "hang", 60)
    begun = time.monotonic()
    answer = ask("park", job, limit_s=1.0)
    assert time.monotonic() - begun < 4
    assert answer.timed_out
    assert answer.calling == "Checkpoint"


def test_a_driver_that_takes_the_child_down_is_told(cuda_sim, ask):
    cuda_sim.fault("Lock", "crash")
    answer = ask("park", cuda_sim.job(0))
    assert answer.died == "killed by signal 6"
    assert answer.calling == "Lock"


def test_another_start_time_stops_everything_before_the_first_call(cuda_sim, ask):
    job = cuda_sim.job(0)
    answer = ask("park", job, ticks=1)
    assert answer.refused == "reused"
    assert cuda_sim.calls == []
    assert job.state == RUNNING


def test_a_thread_is_not_taken_for_its_process(cuda_sim, monkeypatch):
    import threading

    for name, value in cuda_sim.env.items():
        monkeypatch.setenv(name, value)
    go, ready = threading.Event(), threading.Event()
    numbers: list[int] = []

    def body():
        numbers.append(threading.get_native_id())
        ready.set()
        go.wait(20)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert ready.wait(5)
        assert numbers[0] != os.getpid()
        ticks = read_stat(PROC, numbers[0]).start_ticks
        answer = checkpoint.run("park", numbers[0], ticks, limit_s=10)
    finally:
        go.set()
        thread.join()
    assert answer.refused == "thread"
    assert cuda_sim.calls == []


def test_a_driver_without_the_functions_is_told(cuda_sim, ask):
    names = ("GetState", "Lock", "Checkpoint", "Restore", "Unlock")
    cuda_sim.without(*(f"cuCheckpointProcess{name}" for name in names))
    answer = ask("park", cuda_sim.job(0))
    assert answer.refused == "no function"


def test_a_machine_without_libcuda_is_told(cuda_sim, ask):
    cuda_sim.library = cuda_sim.nvml.library
    answer = ask("park", cuda_sim.job(0))
    if answer.refused is None:
        pytest.skip("this machine has a libcuda.so.1")
    assert answer.refused == "no library"
    assert "libcuda.so.1" in answer.call("dlopen").error
