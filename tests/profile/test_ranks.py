"""Ranks beside each other: what is communication, who is slow, and how torchrun is started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import PhaseTime
from gpudoctor.model.ranks import RankFinding
from gpudoctor.profile.communication import communication, merged, overlap, without
from gpudoctor.profile.launcher import Collect, Program
from gpudoctor.profile.ranks import RankSeen, compare, explained, load_ranks, rank_time
from gpudoctor.profile.torchrun import arguments, launch_ranks
from gpudoctor.profile.trace import Event, Trace
from tests.profile.build import RUN, WINDOW, line, profile


def event(name: str, ts: float, dur: float, cat: str = "cpu_op", tid: int = 1) -> Event:
    return Event("X", name, cat, 1, tid, ts, dur)


def trace(*host: Event, device: tuple[Event, ...] = ()) -> Trace:
    return Trace([e for e in host if e.tid == 1], list(host), list(device), [])


def rank(number: int, own: float, exposed: float, **changes):
    """A rank with 4 steps of 0.1 s, `own` of it python."""
    window = replace(
        WINDOW,
        seconds=0.4,
        phases=(PhaseTime("python", own * 4), PhaseTime("communication", exposed * 4)),
        communication_seconds=exposed * 4,
        exposed_communication_seconds=exposed * 4,
    )
    seen = profile(window=window, lines=(line(9),), **changes)
    return rank_time(RankSeen(number, number, 2), seen), seen


def found(*ranks):
    times = tuple(time for time, _ in ranks)
    return {one.finding.id: one for one in compare(times, {t.rank: seen for t, seen in ranks})}


def test_a_rank_that_had_no_cpu_is_not_said_to_have_more_work():
    waited = replace(RUN, cpu_wait_seconds=6.0)
    finding = found(rank(0, 0.05, 0.05), rank(1, 0.095, 0.005, run=waited))["ranks.straggler"]
    assert finding.finding.severity is Severity.INFO
    assert "had no CPU for 6.00 s" in finding.finding.evidence[-1]
    assert "same work" not in finding.finding.fix.text


def test_what_makes_a_rank_slow_is_reported_with_it_and_not_beside_it():
    straggler = found(rank(0, 0.05, 0.05), rank(1, 0.095, 0.005))["ranks.straggler"]
    cause = replace(
        straggler.finding,
        id="python.main-thread",
        summary="A wait in the Python code holds the step up.",
        fix=Fix("Take this wait out of the step."),
    )
    elsewhere = replace(cause, source_line="/home/me/main.py:2")
    others = [RankFinding(cause, (0, 1)), RankFinding(elsewhere, (1,)), RankFinding(cause, (0,))]
    first, *rest = explained((straggler,), [RankFinding(cause, (1,)), *others])
    assert rest == others
    assert first.finding.evidence[-1] == "there, a wait in the Python code holds the step up"
    assert first.finding.fix.text.endswith("no extra duties. Or take this wait out of the step.")
    assert list(explained((straggler,), others)) == [straggler, *others]
    assert list(explained((), others)) == others


def test_names_of_classes_stay_as_they_are_in_the_middle_of_a_sentence():
    straggler = found(rank(0, 0.05, 0.05), rank(1, 0.095, 0.005))["ranks.straggler"]
    cause = replace(straggler.finding, id="a.rule", summary="AdamW updates 9 tensors.")
    (one,) = explained((straggler,), [RankFinding(cause, (1,))])
    assert one.finding.evidence[-1] == "there, AdamW updates 9 tensors"


def test_spans_are_united_and_their_overlap_is_measured():
    assert merged([(5, 7), (0, 2), (1, 3)]) == [(0, 3), (5, 7)]
    assert overlap([(0, 3), (5, 7)], [(2, 6)]) == 2
    assert overlap([(0, 10)], [(1, 2), (3, 4), (9, 12)]) == 3
    assert overlap([(0, 1)], []) == 0


def test_what_is_left_of_spans_without_others():
    assert without([(0, 10)], [(1, 2), (3, 4), (9, 12)]) == [(0, 1), (2, 3), (4, 9)]
    assert without([(0, 3), (5, 7)], []) == [(0, 3), (5, 7)]
    assert without([(0, 3), (5, 7)], [(0, 10)]) == []


def test_one_interrupted_step_does_not_make_a_rank_slow():
    events, now = [], 0.0
    for length in (1e5, 1e5, 9e5, 1e5, 1e5, 1e5):
        events += [
            event("gloo:all_reduce", now, 2e4, "user_annotation", tid=2),
            event("Optimizer.step#SGD.step", now + length - 10, 10, "user_annotation"),
        ]
        now += length
    assert communication(trace(*events)).own_step_seconds == pytest.approx(0.08)


def test_communication_beside_which_something_is_computed_is_hidden():
    seen = trace(
        event("aten::mm", 0, 4e5),
        event("c10d::allreduce_", 4e5, 1e5),
        event("gloo:all_reduce", 2e5, 6e5, "user_annotation", tid=2),
    )
    talked = communication(seen)
    assert (talked.seconds, talked.exposed_seconds) == (pytest.approx(0.6), pytest.approx(0.4))


def test_on_gpus_the_kernels_of_nccl_count_and_not_the_calls():
    seen = trace(
        event("nccl:all_reduce", 0, 9e5, "user_annotation"),
        device=(
            event("ncclDevKernel_AllReduce", 0, 3e5, "kernel"),
            event("gemm", 1e5, 1e5, "kernel"),
        ),
    )
    talked = communication(seen)
    assert (talked.seconds, talked.exposed_seconds) == (pytest.approx(0.3), pytest.approx(0.2))


def test_one_process_alone_has_no_communication():
    assert communication(trace(event("aten::mm", 0, 1))) is None


def test_the_rank_that_works_longest_holds_the_others_up():
    straggler = found(rank(0, 0.05, 0.05), rank(1, 0.095, 0.005))["ranks.straggler"]
    assert straggler.ranks == (1,)
    assert straggler.finding.gain_seconds == pytest.approx(0.045 * 100)
    assert straggler.finding.source_line == "/home/me/main.py:9"
    assert any("more in python" in text for text in straggler.finding.evidence)


def test_ranks_that_keep_pace_are_not_blamed():
    assert found(rank(0, 0.096, 0.004), rank(1, 0.098, 0.002)) == {}


def test_communication_is_blamed_when_even_the_slowest_rank_waits():
    blamed = found(rank(0, 0.06, 0.04), rank(1, 0.062, 0.038))
    assert set(blamed) == {"ranks.communication"}
    assert blamed["ranks.communication"].ranks == (0, 1)
    assert blamed["ranks.communication"].finding.severity is Severity.WARNING


def test_communication_without_a_cpu_for_it_is_no_warning():
    waited = {"run": replace(RUN, cpu_wait_seconds=6.0)}
    (one,) = found(rank(0, 0.06, 0.04, **waited), rank(1, 0.06, 0.04)).values()
    assert (one.finding.id, one.finding.severity) == ("ranks.communication", Severity.INFO)
    assert one.finding.evidence[-1] == "but for 6.00 s a rank had no CPU to talk with"


def test_a_rank_without_a_window_cannot_be_compared():
    bare = profile(window=None)
    assert found((rank_time(RankSeen(0), bare), bare), rank(1, 0.09, 0.01)) == {}


def test_a_folder_without_ranks_says_so(tmp_path):
    with pytest.raises(GpuDoctorError, match="no rank left"):
        load_ranks(tmp_path)


@pytest.mark.parametrize(
    ("program", "processes", "expected"),
    [
        (
            Program("module", "pkg.train", ("-x",)),
            "2",
            ["--standalone", "--nproc-per-node", "2", "-m", "--", "pkg.train", "-x"],
        ),
        (
            Program("script", "/usr/bin/torchrun", ("--nnodes", "1", "a.py")),
            None,
            ["--nnodes", "1", "a.py"],
        ),
        (Program("module", "torch.distributed.run", ("a.py",)), None, ["a.py"]),
        (Program("script", "train.py"), None, None),
    ],
)
def test_torchrun_gets_the_script_or_its_own_arguments(program, processes, expected):
    assert arguments(program, processes) == expected


@pytest.mark.parametrize(
    ("program", "processes"),
    [
        (Program("module", "x"), "0"),
        (Program("module", "x"), "many"),
        (Program("code", "pass"), "2"),
    ],
)
def test_what_torchrun_cannot_run_is_refused(program, processes):
    with pytest.raises(GpuDoctorError):
        arguments(program, processes)


def test_the_wrapper_is_written_anew_and_not_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rank.sh").symlink_to(tmp_path / "mine")
    code = launch_ranks("/bin/true", ["a.py"], tmp_path / "out", Collect(ranks=True))
    assert code == 0
    assert (tmp_path / "mine").read_text() == "precious"
    assert "unset PYTHON_EXEC" in (tmp_path / "out" / "rank.sh").read_text()


def test_the_users_own_interpreter_for_ranks_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_EXEC", "/opt/my python")
    launch_ranks("/bin/true", ["a.py"], tmp_path, Collect(ranks=True))
    text = (tmp_path / "rank.sh").read_text()
    assert "export PYTHON_EXEC='/opt/my python'" in text
    assert "exec '/opt/my python' -u" in text
