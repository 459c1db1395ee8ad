from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.lineage import Ancestor, Notebook, Placement
from gpudoctor.model.orphan import Verdict
from gpudoctor.reclaim.orphans import judge, needs_window
from tests.builders import AT, device, process, snapshot
from tests.reclaim.builders import INIT, PYTHON, SHELL, SSHD, lineage, look, twice

BASH_AS_INIT = Ancestor(1, "bash", ("bash", "start.sh"), 0, 1)
TORCHRUN_AS_INIT = Ancestor(1, "torchrun", ("/usr/bin/python", "/bin/torchrun"), 0, 1)


def only(*looks, between=()):
    (one,) = judge(*looks, between=between)
    return one


def ids(one):
    return {reason.id for reason in one.reasons}


def test_a_process_in_a_live_shell_is_in_use():
    one = only(*twice(lineage(above=(SHELL, SSHD, INIT))))
    assert one.verdict is Verdict.IN_USE
    assert "in-hand" in ids(one)
    assert one.offers == ()


def test_two_weak_signals_without_progress_make_an_orphan():
    gone = lineage(deleted_terminal="/dev/pts/3 (deleted)")
    one = only(*twice(gone))
    assert one.verdict is Verdict.ORPHAN
    assert {"parent-died", "terminal-gone", "no-progress"} <= ids(one)
    assert one.offers[0].command == "gpudoctor kill 100"


def test_one_weak_signal_without_progress_makes_a_suspect():
    assert only(*twice(lineage())).verdict is Verdict.SUSPECT


def test_weak_signals_say_nothing_before_a_second_look():
    first = look(lineage(deleted_terminal="/dev/pts/3 (deleted)"))
    assert only(first).verdict is Verdict.IN_USE
    assert needs_window(first)


@pytest.mark.parametrize("seconds", [0.4, 3.0, 900.0])
def test_a_process_that_computes_is_in_use(seconds):
    gone = lineage(deleted_terminal="/dev/pts/3 (deleted)")
    busy = replace(gone, cpu_seconds=gone.cpu_seconds + seconds)
    assert only(*twice(gone, busy)).verdict is Verdict.IN_USE


def test_a_process_that_only_the_gpu_works_for_is_in_use():
    now, earlier = twice(lineage(deleted_terminal="/dev/pts/3 (deleted)"))
    burst = snapshot(processes=(process(100, gpus=(replace(process().gpus[0], sm_ratio=0.7),)),))
    assert only(now, earlier, between=(burst,)).verdict is Verdict.IN_USE
    assert only(now, earlier).verdict is Verdict.ORPHAN


def test_an_idle_process_under_nohup_is_no_more_than_a_suspect():
    kept = lineage(deleted_terminal="/dev/pts/3 (deleted)", ignores_hangup=True)
    assert only(*twice(kept)).verdict is Verdict.SUSPECT


def test_an_idle_server_is_no_more_than_a_suspect():
    serving = lineage(deleted_terminal="/dev/pts/3 (deleted)", listening=(8000,))
    one = only(*twice(serving))
    assert one.verdict is Verdict.SUSPECT
    assert any("8000" in reason.evidence for reason in one.reasons)


def test_a_loader_worker_without_its_parent_is_an_orphan_at_once():
    one = only(look(lineage(name="pt_data_worker")))
    assert one.verdict is Verdict.ORPHAN
    assert "loader-parent-died" in ids(one)


def test_a_loader_worker_under_its_parent_is_in_use():
    worker = lineage(name="pt_data_worker", above=(PYTHON, SHELL, INIT), session=90)
    assert only(*twice(worker)).verdict is Verdict.IN_USE


def test_a_loader_worker_of_a_container_s_first_process_is_in_use():
    first = Ancestor(1, "python", ("python", "train.py"), 0, 1)
    worker = lineage(name="pt_data_worker", above=(first,), session=1)
    assert only(*twice(worker)).verdict is Verdict.IN_USE


def test_a_rank_whose_launcher_died_is_an_orphan():
    rank = lineage(markers=(("TORCHELASTIC_RUN_ID", "run7"), ("RANK", "3")))
    one = only(look(rank))
    assert one.verdict is Verdict.ORPHAN
    assert any("run7" in reason.evidence for reason in one.reasons)


def test_a_rank_whose_launcher_is_the_first_process_of_a_container_is_in_use():
    rank = lineage(above=(TORCHRUN_AS_INIT,), markers=(("TORCHELASTIC_RUN_ID", "run7"),))
    assert only(*twice(rank)).verdict is Verdict.IN_USE


def test_a_child_of_a_container_s_first_shell_is_in_use():
    assert only(*twice(lineage(above=(BASH_AS_INIT,), session=1))).verdict is Verdict.IN_USE


def test_an_engine_s_worker_without_the_engine_is_an_orphan():
    worker = lineage(name="VLLM::EngineCor", command=("VLLM::EngineCore",))
    assert only(look(worker)).verdict is Verdict.ORPHAN


def test_a_jupyter_kernel_without_its_server_is_an_orphan():
    command = ("python", "-m", "ipykernel_launcher", "-f", "/x/kernel-1.json")
    kernel = lineage(above=(SSHD,), command=command, markers=(("JPY_PARENT_PID", "55"),))
    assert only(look(replace(kernel, ancestors=()))).verdict is Verdict.ORPHAN
    alive = replace(kernel, marker_pids_alive=(55,))
    assert only(*twice(alive)).verdict is Verdict.IN_USE


def kernel(idle_s: float, connections: int, state: str = "idle"):
    command = ("python", "-m", "ipykernel_launcher", "-f", "/x/kernel-1.json")
    book = Notebook("train.ipynb", state, connections, AT + 30 - idle_s)
    return lineage(above=(PYTHON,), command=command, notebook=book, listening=(5555,))


def test_a_notebook_that_nobody_has_open_and_that_idles_is_a_suspect():
    one = only(*twice(kernel(7200, 0)))
    assert one.verdict is Verdict.SUSPECT
    assert [offer.action for offer in one.offers] == ["empty-cache", "park", "kill"]
    assert any("train.ipynb" in reason.evidence for reason in one.reasons)


@pytest.mark.parametrize(
    "now", [kernel(600, 0), kernel(7200, 1), kernel(7200, 0, "busy")], ids=["new", "open", "busy"]
)
def test_a_notebook_that_is_open_or_at_work_or_was_just_left_is_in_use(now):
    assert only(*twice(now)).verdict is Verdict.IN_USE


def test_a_kernel_s_server_in_another_namespace_proves_nothing():
    command = ("python", "-m", "ipykernel_launcher", "-f", "/x/kernel-1.json")
    kernel = lineage(
        above=(PYTHON,), command=command, markers=(("JPY_PARENT_PID", "55"),), same_namespace=False
    )
    assert only(*twice(kernel)).verdict is Verdict.IN_USE


def test_a_process_stopped_in_a_live_shell_is_asked_about():
    one = only(look(lineage(above=(SHELL, INIT), state="T", thread_states=("T",))))
    assert one.verdict is Verdict.SUSPECT
    assert one.offers[0].command == "fg"


def test_a_process_stopped_and_left_by_its_parent_is_an_orphan():
    assert only(look(lineage(state="T", thread_states=("T",)))).verdict is Verdict.ORPHAN


def test_a_process_stopped_for_ten_minutes_is_an_orphan_unless_somebody_has_it():
    stopped = lineage(above=(PYTHON,), state="T", thread_states=("T",))
    assert only(*twice(stopped, apart=601)).verdict is Verdict.ORPHAN
    assert only(*twice(stopped, apart=30)).verdict is Verdict.SUSPECT
    held = replace(stopped, ancestors=(SHELL,))
    assert only(*twice(held, apart=601)).verdict is Verdict.SUSPECT


def test_a_dead_leader_with_live_threads_is_an_orphan():
    assert only(look(lineage(state="Z", thread_states=("Z", "S", "S")))).verdict is Verdict.ORPHAN


def test_a_plain_zombie_is_no_orphan():
    zombie = lineage(above=(PYTHON,), state="Z", thread_states=("Z",))
    assert only(*twice(zombie)).verdict is Verdict.IN_USE


@pytest.mark.parametrize(
    "name", ["Xorg", "nvidia-persiste", "nvidia-cuda-mps", "nv-hostengine", "nv-fabricmanage"]
)
def test_the_machine_s_own_daemons_are_never_orphans(name):
    daemon = lineage(name=name, deleted_terminal="/dev/pts/1 (deleted)", state="S")
    assert only(*twice(daemon)).verdict is Verdict.IN_USE


def test_what_systemd_runs_is_in_use():
    unit = Placement("/system.slice/infer.service", system_unit="infer.service")
    gone = lineage(placement=unit, deleted_terminal="/dev/pts/1 (deleted)")
    assert only(*twice(gone)).verdict is Verdict.IN_USE


def test_the_unit_of_the_ssh_daemon_protects_nobody():
    unit = Placement("/system.slice/ssh.service", system_unit="ssh.service")
    gone = lineage(placement=unit, deleted_terminal="/dev/pts/1 (deleted)")
    assert only(*twice(gone)).verdict is Verdict.ORPHAN


def test_a_slurm_job_is_cancelled_and_not_killed_first():
    placement = Placement("/slurm/uid_1000/job_42/step_0", slurm_job="42")
    rank = lineage(placement=placement, markers=(("TORCHELASTIC_RUN_ID", "a"),))
    one = only(look(rank))
    assert one.verdict is Verdict.SUSPECT
    assert one.offers[0].command == "scancel 42"


def test_a_debugged_process_is_in_use():
    traced = lineage(state="t", tracer_pid=7, markers=(("TORCHELASTIC_RUN_ID", "a"),))
    assert only(look(traced)).verdict is Verdict.IN_USE


def test_a_process_stuck_in_the_kernel_is_offered_no_kill():
    stuck = lineage(thread_states=("D",), state="D", wait_channel="nv_wait")
    one = only(*twice(stuck))
    assert "in-kernel" in ids(one)
    assert one.offers == ()


def test_another_user_s_orphan_is_left_to_its_owner():
    theirs = lineage(name="pt_data_worker", uid=1001, user="bo")
    one = only(look(theirs))
    assert not one.mine
    assert one.offers[0].action == "ask"
    assert "bo" in one.offers[0].text


def test_a_pid_that_was_reused_between_the_looks_has_no_history():
    before = lineage()
    other = replace(before, key=replace(before.key, started=AT - 1))
    one = only(look(other, at=AT + 30), look(before))
    assert "no-progress" not in ids(one)
    assert one.verdict is Verdict.IN_USE


def ghosts(*holders, **changes):
    snap = snapshot(
        device(facts=replace(device().facts, minor_number=0)), processes=(process(4242),)
    )
    return look(*holders, snap=snap, **changes), look(*holders, snap=snap, **changes)


def test_memory_of_a_dead_process_is_an_orphan_with_its_holders():
    keeper = lineage(300, name="pt_data_worker")
    worker, dead = sorted(judge(*ghosts(keeper)), key=lambda one: one.pid)
    assert dead.pid == 4242
    assert dead.verdict is Verdict.ORPHAN
    assert dead.offers[0].command == "gpudoctor kill 300"
    assert worker.verdict is Verdict.ORPHAN
    assert worker.memory_used_bytes is None


def test_a_dead_pid_seen_only_once_may_be_a_process_that_just_ended():
    now, _ = ghosts()
    assert only(now).verdict is Verdict.SUSPECT
    assert needs_window(now)


def test_inside_a_container_an_unknown_pid_is_no_ghost():
    one = only(*ghosts(initial_namespace=False))
    assert one.verdict is Verdict.IN_USE
    assert one.reasons[0].id == "not-visible"


def test_a_pid_that_proc_hides_is_no_ghost():
    assert only(*ghosts(unreachable=frozenset({4242}))).verdict is Verdict.IN_USE


def test_a_monitor_that_only_has_the_gpu_open_is_not_listed():
    monitor = lineage(300, above=(SHELL, INIT))
    assert [one.pid for one in judge(*ghosts(monitor))] == [4242]


def test_an_idle_process_whose_container_was_abandoned_is_an_orphan():
    left = lineage(container_kept=False, placement=Placement(container="ab" * 32))
    one = only(*twice(left))
    assert one.verdict is Verdict.ORPHAN
    assert {"container-gone", "parent-died"} <= {reason.id for reason in one.reasons}


def test_a_process_that_computes_in_an_abandoned_container_is_in_use():
    left = lineage(container_kept=False, placement=Placement(container="ab" * 32))
    assert only(*twice(left, replace(left, cpu_seconds=25.0))).verdict is Verdict.IN_USE


def test_a_process_whose_container_has_its_keeper_is_no_orphan_for_that():
    kept = lineage(container_kept=True, placement=Placement(container="ab" * 32))
    assert "container-gone" not in {reason.id for reason in only(*twice(kept)).reasons}
