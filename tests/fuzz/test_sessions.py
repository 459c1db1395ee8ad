"""What lies beside session.json in a session's folder, and in the folders that the screen keeps."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.model.codec import to_builtins
from gpudoctor.profile import pyspy
from gpudoctor.profile.memory_history import read_history
from gpudoctor.profile.modules import module_times, read_modules
from gpudoctor.profile.outside import FILE, Outside
from gpudoctor.profile.ranks import load_ranks, rank_folders
from gpudoctor.profile.session import read_session
from gpudoctor.profile.summary import load_profile
from gpudoctor.profile.timeline import gpu_uses, read_timeline
from gpudoctor.profile.trace import read_trace
from gpudoctor.profile.workers import read_workers, worker_times
from gpudoctor.render.memory_history import in_words, place
from gpudoctor.render.profile_files import write_reports
from gpudoctor.render.ranks import report
from gpudoctor.render.text import console
from gpudoctor.tui.benches import kept_benches
from gpudoctor.tui.screens.form import FormScreen
from gpudoctor.tui.sessions import kept_profiles, progress
from tests.fuzz.seeds import MEMORY, MODULES, STACKS, TIMELINE, TRACE, WINDOW, WORKER
from tests.fuzz.settled import altered, fuzz, json_values, mangled, settled
from tests.profile import build
from tests.profile.test_modules import arrow
from tests.profile.test_pyspy import RAW
from tests.tui.scenes import BENCHED


def body(value) -> bytes:
    return json.dumps(value).encode()


def test_modules_and_their_trace_are_joined_or_left_out(tmp_path):
    folder = build.session(tmp_path / "s")

    @fuzz(80)
    @given(altered(MODULES), altered(TRACE))
    def run(modules, trace):
        (folder / "modules.json").write_bytes(body(modules))
        (folder / "trace.json").write_bytes(body(trace))
        seen = read_modules(folder)
        if seen is not None:
            module_times(seen, settled(read_trace, folder / "trace.json", 77))

    run()


def test_a_span_that_is_said_to_be_its_own_caller_is_not_followed_for_ever(tmp_path):
    events = [build.event("Backward0", 5, 500), *arrow(1, 20, 5)]
    build.session(tmp_path)
    build.trace(tmp_path, events, 5_000_000)
    (tmp_path / "modules.json").write_bytes(body(MODULES))
    seen = read_modules(tmp_path)
    assert seen is not None
    times = module_times(seen, read_trace(tmp_path / "trace.json", 77))
    assert all(one.backward_seconds is None for one in times)


def test_what_a_session_says_of_memory_gpus_and_workers_is_read_or_left_out(tmp_path):
    folder = build.session(tmp_path / "s")

    @fuzz(60)
    @given(altered(MEMORY), altered(TIMELINE), altered(WORKER))
    def run(memory, timeline, worker):
        (folder / "memory.json").write_bytes(body(memory))
        (folder / "gpus.json").write_bytes(body(timeline))
        (folder / "worker-5.json").write_bytes(body(worker))
        for one in read_history(folder):
            for site in (*one.live, *one.peak):
                place(site, "x")
            in_words(one)
        uses = gpu_uses(folder)
        assert all(use.looks >= 0 for use in uses)
        read_timeline(folder)
        workers = read_workers(folder)
        assert len(worker_times(workers, 0)) <= len(workers)

    run()


def test_a_whole_session_with_odd_files_is_reported_harmlessly_or_refused(tmp_path):
    folder = build.session(tmp_path / "s", window=WINDOW)
    names = ("modules", "trace", "memory", "gpus", "worker-5")

    @fuzz(25)
    @given(st.tuples(*map(altered, (MODULES, TRACE, MEMORY, TIMELINE, WORKER))))
    def run(bodies):
        for name, one in zip(names, bodies, strict=True):
            (folder / f"{name}.json").write_bytes(body(one))
        profile = settled(load_profile, folder)
        if profile is not None:
            settled(write_reports, profile, folder)
            page = (folder / "report.html").read_text()
            assert "\x1b" not in page
            assert "\x07<script>" not in page

    run()


HOSTILE = "</script><script>alert(1)</script>'\"&[red]{{7*7}}\x1b]0;x\x07"


def poisoned(value, keep=()):
    """`value` with every text replaced by one that means to run."""
    if isinstance(value, dict):
        return {key: one if key in keep else poisoned(one, keep) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, keep) for one in value]
    return HOSTILE if isinstance(value, str) else value


def test_names_of_modules_operators_files_and_gpus_run_nothing_in_the_reports(tmp_path):
    samples = poisoned(WORKER["samples"])
    folder = build.session(tmp_path / "s", window=WINDOW, samples=samples, cwd=HOSTILE)
    kept = ("ph", "cat", "bp")
    events = [one | {"name": HOSTILE} for one in TRACE["traceEvents"]]
    bodies = {
        "modules": poisoned(MODULES),
        "trace": poisoned(TRACE | {"traceEvents": events}, kept),
        "memory": MEMORY | {"sites": [[HOSTILE, 7, HOSTILE]]},
        "gpus": poisoned(TIMELINE),
        "worker-5": WORKER | {"samples": samples},
    }
    for name, one in bodies.items():
        (folder / f"{name}.json").write_bytes(body(one))
    profile = load_profile(folder)
    assert profile.modules
    assert profile.memory_history
    assert profile.gpus
    write_reports(profile, folder)
    page = (folder / "report.html").read_text()
    assert page.count("alert(1)") > 3
    assert "<script>alert" not in page
    assert "49" not in page.partition("{{7*7}}")[0][-20:]
    assert "\x1b" not in page


def test_stacks_of_functions_that_are_not_there_are_refused(tmp_path):
    for number, sound in ((0, True), (1, False), (-1, False)):
        samples = WORKER["samples"] | {"stacks": [[1.0, True, [[number, 4]]]]}
        folder = build.session(tmp_path / "s", samples=samples)
        assert (settled(load_profile, folder) is not None) is sound


def test_what_py_spy_wrote_fills_a_session_or_is_left_out(tmp_path):
    @fuzz(100)
    @given(altered(STACKS), altered(WORKER))
    def run(stacks, worker):
        folder = build.session(tmp_path / "s")
        (folder / FILE).write_bytes(body(stacks))
        (folder / "worker-5.json").write_bytes(body(worker))
        Outside(folder).ended()
        read_session(folder)

    run()


@fuzz(200)
@given(mangled(RAW.encode()).map(lambda data: data.decode("utf-8", "replace")) | st.text())
def test_raw_stacks_are_read_or_passed_over(text):
    stacks = pyspy.parse(text)
    for pid in (10, 12):
        seen = pyspy.samples(stacks, pid, 8.0)
        mine = [stack for stack in stacks if stack.pid == pid and stack.is_main]
        assert len(seen.stacks) == len(mine)
        assert math.isclose(sum(row[0] for row in seen.stacks), 8.0 if mine else 0.0, abs_tol=1e-9)
        others = {(stack.pid, stack.thread) for stack in stacks if stack not in mine}
        assert len(pyspy.threads(stacks, pid, 8.0)) == len(others)


def test_ranks_of_any_numbers_are_compared_or_refused(tmp_path):
    for rank in (0, 1):
        build.session(tmp_path / f"rank{rank}")

    @fuzz(60)
    @given(altered({"rank": 0, "local_rank": 0, "world_size": 2}), json_values)
    def run(first, second):
        (tmp_path / "rank0" / "rank.json").write_bytes(body(first))
        (tmp_path / "rank1" / "rank.json").write_bytes(body(second))
        found = settled(load_ranks, tmp_path)
        if found is not None:
            with console().capture():
                list(report(found))

    run()


def test_names_that_lead_out_of_a_session_are_no_ranks(tmp_path):
    build.session(tmp_path / "elsewhere")
    folder = tmp_path / "job"
    folder.mkdir()
    for name in ("rank..", "rank0\n", "rank-1", "rank1234567", "rankx"):
        build.session(folder / name)
    assert rank_folders(folder) == {}


KEPT = {
    "run": {"program": ["main.py"], "started_at": 1.0, "wall_seconds": 2.0, "how": "exception"},
    "findings": [{"summary": "slow", "severity": "warning"}],
}
BENCH = {"started_at": 1.0, "program": ["a.py"], "report": to_builtins(BENCHED)}


def test_runs_that_the_screen_kept_are_listed_or_passed_over(tmp_path):
    folder = tmp_path / "20260101-000000-a"
    folder.mkdir()
    screen = SimpleNamespace(_tagged=())

    @fuzz(120)
    @given(
        altered(KEPT), altered(BENCH), altered({"steps": {"count": 3}, "window": {"state": "done"}})
    )
    def run(profile, bench, now):
        (folder / "profile.json").write_bytes(body(profile))
        (folder / "bench.json").write_bytes(body(bench))
        (folder / "session.json").write_bytes(body(now))
        progress(folder)
        for one in (*kept_profiles(tmp_path), *kept_benches(tmp_path)):
            for cell in FormScreen._row(screen, one).cells:
                assert "\x1b" not in cell.text

    run()
