"""`gpudoctor park` and `unpark` as programs: simulated drivers, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cuda_sim.fixtures import CHECKPOINTED, LOCKED, MIB, RUNNING
from tests.nvml_sim.machine import SimProcess
from tests.reclaim.children import until

pytestmark = pytest.mark.integration


def run(sim, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments],
        env=sim.env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def results(done: subprocess.CompletedProcess) -> list[dict]:
    return json.loads(done.stdout)["results"]


def records(sim) -> list:
    return sorted((sim.state_home / "gpudoctor" / "parked").glob("*"))


def test_parking_gives_all_memory_back_and_the_process_lives_on(cuda_sim):
    job = cuda_sim.job(0, 1, mib=200)
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == "gpudoctor.park/1"
    assert report["results"][0]["outcome"] == "parked"
    assert [gpu["freed_bytes"] for gpu in report["memory"]] == [200 * MIB, 200 * MIB]
    assert job.alive
    stood = job.count
    time.sleep(0.2)
    assert job.count == stood
    assert len(records(cuda_sim)) == 1


def test_unparking_brings_the_memory_back_and_the_work_goes_on(cuda_sim):
    job = cuda_sim.job(2, mib=300)
    run(cuda_sim, "park", str(job.pid), "--yes")
    stood = job.count
    done = run(cuda_sim, "unpark", str(job.pid), "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(done)[0]["outcome"] == "running"
    until(lambda: job.count > stood)
    listed = json.loads(run(cuda_sim, "ps", "--json").stdout)["processes"]
    assert [(row["pid"], row["memory_used_bytes"]) for row in listed] == [(job.pid, 300 * MIB)]
    assert records(cuda_sim) == []


def test_all_brings_back_every_parked_process_and_nothing_else(cuda_sim):
    jobs = [cuda_sim.job(index) for index in range(3)]
    done = run(cuda_sim, "park", str(jobs[0].pid), str(jobs[2].pid), "--yes")
    assert done.returncode == 0, done.stderr
    assert [job.state for job in jobs] == [CHECKPOINTED, RUNNING, CHECKPOINTED]
    done = run(cuda_sim, "unpark", "--all", "--yes", "--json")
    assert sorted(one["pid"] for one in results(done)) == sorted((jobs[0].pid, jobs[2].pid))
    assert [job.state for job in jobs] == [RUNNING] * 3


def test_a_dry_run_says_no_where_the_drivers_library_cannot_be_loaded(cuda_sim, tmp_path):
    job = cuda_sim.job(0)
    cuda_sim.library = tmp_path / "damaged"
    cuda_sim.library.mkdir()
    (cuda_sim.library / "libcuda.so.1").write_bytes(b"no library")
    for action in ("park", "unpark"):
        done = run(cuda_sim, action, str(job.pid), "--dry-run")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "libcuda.so.1 cannot be loaded: " in done.stdout
        assert "NVIDIA_DRIVER_CAPABILITIES must name compute" in done.stdout
        assert "can be parked" not in done.stdout
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--json")
    (refused,) = results(done)
    assert refused["outcome"] == "refused"
    assert [one["id"] for one in refused["conditions"] if one["standing"] == "refuse"] == [
        "library"
    ]
    assert records(cuda_sim) == []


def test_a_dry_run_says_no_where_the_drivers_library_lacks_a_function(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.without("cuCheckpointProcessRestore")
    done = run(cuda_sim, "park", str(job.pid), "--dry-run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "this driver's libcuda.so.1 has no checkpoint functions" in done.stdout
    assert cuda_sim.calls == []
    assert job.state == RUNNING


def test_a_dry_run_calls_nothing(cuda_sim):
    job = cuda_sim.job(0)
    done = run(cuda_sim, "park", str(job.pid), "--dry-run")
    assert done.returncode == 0, done.stdout
    assert "Nothing was done" in done.stdout
    assert "driver 580.95.05" in done.stdout
    assert cuda_sim.calls == []
    assert records(cuda_sim) == []


def test_without_a_terminal_and_without_yes_nothing_is_called(cuda_sim):
    done = run(cuda_sim, "park", str(cuda_sim.job(0).pid))
    assert done.returncode == 2
    assert "nobody is there to confirm" in done.stderr
    assert cuda_sim.calls == []


@pytest.mark.parametrize(
    ("version", "outcome", "code"),
    [("565.57.01", "refused", 1), ("570.158.01", "parked", 0), ("610.43.02", "parked", 0)],
)
def test_the_drivers_version_decides(cuda_sim, version, outcome, code):
    job = cuda_sim.job(0)
    cuda_sim.nvml.machine.driver_version = version
    cuda_sim.nvml.save()
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--json")
    assert results(done)[0]["outcome"] == outcome
    assert done.returncode == code
    standing = {one["id"]: one["standing"] for one in results(done)[0]["conditions"]}
    assert standing["driver"] == {"565": "refuse", "570": "warn", "610": "ok"}[version[:3]]


def test_one_rank_of_several_is_left_alone(cuda_sim):
    job = cuda_sim.job(0, env={**os.environ, "WORLD_SIZE": "8"})
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "one of 8 ranks" in done.stdout
    assert cuda_sim.calls == []


def test_a_gpu_without_persistence_mode_is_left_alone(cuda_sim):
    job = cuda_sim.job(3)
    cuda_sim.gpu(3)["persistence_mode"] = 0
    cuda_sim.nvml.save()
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "nvidia-smi -pm 1 -i 3" in done.stdout
    assert cuda_sim.calls == []


def test_work_that_does_not_end_leaves_the_process_running(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.busy(job)
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--lock-timeout", "0.3")
    assert done.returncode == 1
    assert "runs on unharmed" in done.stdout
    assert "--lock-timeout" in done.stdout
    assert job.state == RUNNING
    assert records(cuda_sim) == []


def test_what_the_driver_does_not_support_is_undone(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "error", 801)
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "CUDA_ERROR_NOT_SUPPORTED (801)" in done.stdout
    assert job.state == RUNNING
    assert records(cuda_sim) == []


def test_a_checkpoint_that_hangs_ends_with_the_limit_and_the_process_is_unlocked(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "hang", 60)
    begun = time.monotonic()
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--timeout", "1", "--json")
    assert time.monotonic() - begun < 15
    (one,) = results(done)
    assert one["outcome"] == "running"
    assert "cuCheckpointProcessCheckpoint within" in one["detail"]
    assert job.state == RUNNING


def test_a_process_that_cannot_be_unlocked_is_told_to_be_blocked(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "error", 801)
    cuda_sim.fault("Unlock", "error", 401)
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "is blocked in its CUDA calls" in done.stdout
    assert job.state == LOCKED
    cuda_sim.clear_faults()
    assert run(cuda_sim, "unpark", str(job.pid), "--yes").returncode == 0
    assert job.state == RUNNING


def test_a_process_that_dies_of_it_is_told_to_have_died(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "die", 304)
    (one,) = results(run(cuda_sim, "park", str(job.pid), "--yes", "--json"))
    assert one["outcome"] == "died"
    assert records(cuda_sim) == []


def test_a_gpu_without_room_keeps_the_process_parked(cuda_sim):
    job = cuda_sim.job(0, mib=500)
    run(cuda_sim, "park", str(job.pid), "--yes")
    cuda_sim.gpu(0).processes[:] = [SimProcess(4_100_000, (81559 - 551 - 300) * MIB)]
    cuda_sim.nvml.save()
    done = run(cuda_sim, "unpark", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "500.0 MiB are needed" in done.stdout
    assert job.state == CHECKPOINTED
    assert len(records(cuda_sim)) == 1


def test_the_demo_machine_is_not_touched(cuda_sim):
    done = run(cuda_sim, "--demo", "park", "1", "--yes")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_pid_that_does_not_exist_is_one_block(cuda_sim):
    done = run(cuda_sim, "park", "4194303", "--yes")
    assert done.returncode == 2
    assert "there is no process 4194303" in done.stderr


def test_a_machine_without_room_in_host_memory_leaves_the_process_alone(cuda_sim):
    job = cuda_sim.job(0, mib=64 * 1024**2)
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 1
    assert "needs 64.0 TiB of host memory" in done.stdout
    assert cuda_sim.calls == []


def test_ps_shows_what_is_parked_until_it_is_back(cuda_sim):
    job = cuda_sim.job(0, mib=700)
    run(cuda_sim, "park", str(job.pid), "--yes")
    answer = json.loads(run(cuda_sim, "ps", "--json").stdout)
    assert answer["processes"] == []
    (parked,) = answer["parked"]
    assert (parked["pid"], parked["memory_used_bytes"]) == (job.pid, 700 * MIB)
    assert parked["confirmed"] is True
    assert "700.0 MiB in host memory" in run(cuda_sim, "ps").stdout
    run(cuda_sim, "unpark", "--all", "--yes")
    assert json.loads(run(cuda_sim, "ps", "--json").stdout)["parked"] == []


def test_a_parked_process_that_ended_is_no_longer_shown(cuda_sim):
    job = cuda_sim.job(0)
    run(cuda_sim, "park", str(job.pid), "--yes")
    job.child.kill()
    job.child.wait()
    assert json.loads(run(cuda_sim, "ps", "--json").stdout)["parked"] == []
    done = run(cuda_sim, "unpark", "--all", "--yes")
    assert done.returncode == 0
    assert "No process is noted as parked." in done.stdout


def test_the_filters_hold_for_parked_processes_too(cuda_sim):
    first, second = cuda_sim.job(0), cuda_sim.job(5)
    run(cuda_sim, "park", str(first.pid), str(second.pid), "--yes")

    def shown(*arguments: str) -> list[int]:
        answer = json.loads(run(cuda_sim, "ps", "--json", *arguments).stdout)
        return [one["pid"] for one in answer["parked"]]

    assert shown("--gpu", "5") == [second.pid]
    assert shown("--user", "nobody-of-that-name") == []
    assert sorted(shown("--name", "PYTHON")) == sorted((first.pid, second.pid))


def test_ctrl_c_does_not_end_a_checkpoint_half_way_and_unpark_finds_it(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("Checkpoint", "hang", 3)
    parking = subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", "park", str(job.pid), "--yes"],
        env=cuda_sim.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: "Checkpoint" in cuda_sim.calls)
    os.killpg(parking.pid, signal.SIGINT)
    _, said = parking.communicate(timeout=20)
    assert parking.returncode == 130
    assert "Traceback" not in said
    (noted,) = json.loads(run(cuda_sim, "ps", "--json").stdout)["parked"]
    assert noted["confirmed"] is False
    until(lambda: job.state == CHECKPOINTED)
    cuda_sim.clear_faults()
    assert run(cuda_sim, "unpark", "--all", "--yes").returncode == 0
    assert job.state == RUNNING


def test_what_somebody_else_parked_comes_back_without_a_note(cuda_sim):
    job = cuda_sim.job(0)
    run(cuda_sim, "park", str(job.pid), "--yes")
    for file in records(cuda_sim):
        file.unlink()
    done = run(cuda_sim, "unpark", str(job.pid), "--yes")
    assert done.returncode == 0, done.stdout
    assert job.state == RUNNING


def test_a_driver_that_does_not_even_tell_the_state_leaves_all_as_it_is(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.fault("GetState", "hang", 60)
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--timeout", "1")
    assert done.returncode == 1
    assert "gave no answer to cuCheckpointProcessGetState" in done.stdout
    assert "runs on unharmed" in done.stdout
    assert job.state == RUNNING
    assert records(cuda_sim) == []


def test_a_restore_that_hangs_leaves_the_process_parked_and_noted(cuda_sim):
    job = cuda_sim.job(0)
    run(cuda_sim, "park", str(job.pid), "--yes")
    cuda_sim.fault("Restore", "hang", 60)
    done = run(cuda_sim, "unpark", "--all", "--yes", "--timeout", "1")
    assert done.returncode == 1
    assert "is parked yet" in done.stdout
    assert "gave no answer to cuCheckpointProcessRestore" in done.stdout
    assert len(records(cuda_sim)) == 1


def test_a_restore_without_memory_on_the_gpu_is_told(cuda_sim):
    job = cuda_sim.job(0, mib=500)
    run(cuda_sim, "park", str(job.pid), "--yes")
    cuda_sim.fault("Restore", "error", 2)
    done = run(cuda_sim, "unpark", "--all", "--yes")
    assert done.returncode == 1
    assert "CUDA_ERROR_OUT_OF_MEMORY (2)" in done.stdout
    assert job.state == CHECKPOINTED


def test_unparking_a_process_that_runs_changes_nothing(cuda_sim):
    job = cuda_sim.job(0)
    done = run(cuda_sim, "unpark", str(job.pid), "--yes", "--json")
    assert results(done)[0]["outcome"] == "running"
    assert cuda_sim.calls == []
    assert job.alive


def test_notes_that_cannot_be_written_stop_before_the_first_call(cuda_sim):
    job = cuda_sim.job(0)
    cuda_sim.state_home.write_text("a file where the folder should be")
    done = run(cuda_sim, "park", str(job.pid), "--yes")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("hint: Set XDG_STATE_HOME")
    assert cuda_sim.calls == []


def test_the_schema_of_the_report_holds(cuda_sim):
    import msgspec

    from gpudoctor.model.parking import ParkReport

    job = cuda_sim.job(0, 1)
    done = run(cuda_sim, "park", str(job.pid), "--yes", "--json")
    report = msgspec.json.decode(done.stdout, type=ParkReport)
    assert report.results[0].pid == job.pid
    assert len(report.memory) == 2
