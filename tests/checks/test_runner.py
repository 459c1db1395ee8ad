"""Running checks side by side, and putting causes before consequences."""

from __future__ import annotations

import time
from dataclasses import replace

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import error, info, warning
from gpudoctor.checks.registry import Check, registered
from gpudoctor.checks.runner import run_checks
from gpudoctor.model.check import Outcome
from gpudoctor.model.finding import Severity
from tests.checks.world import gpu, gpus, healthy, probe, torch


def made(name: str, run, *, after=(), needs=()) -> Check:
    return Check(name, "title", needs, "A", Severity.ERROR, ("https://x",), after, "text", run)


def finds(*findings):
    return lambda ctx: iter(findings)


def test_a_crashed_check_is_a_finding_and_the_rest_go_on():
    def crash(ctx):
        yield info("first", "found before the crash")
        raise KeyError("broken")

    report = run_checks(
        [made("a.crash", crash), made("b.fine", finds(error("x", "y")))], CheckContext()
    )
    ended = {outcome.id: outcome for outcome in report.checks}
    assert ended["a.crash"].outcome is Outcome.CRASHED
    assert "KeyError" in ended["a.crash"].reason
    assert ended["b.fine"].outcome is Outcome.FOUND
    assert {finding.id for finding in report.findings} == {"a.crash", "b.fine"}


def test_checks_that_hang_do_not_hold_up_the_others():
    def hang(ctx):
        time.sleep(30)
        yield from ()

    checks = [made(f"a.hang{n}", hang) for n in range(3)] + [made("b.fine", finds())]
    begun = time.monotonic()
    report = run_checks(checks, CheckContext(), limit_s=0.5)
    assert time.monotonic() - begun < 2
    ended = {outcome.id: outcome.outcome for outcome in report.checks}
    assert ended["a.hang0"] is ended["a.hang2"] is Outcome.TIMED_OUT
    assert ended["b.fine"] is Outcome.OK


def test_findings_bear_their_checks_id_and_sources():
    report = run_checks([made("a.b", finds(warning("s", "t")))], CheckContext())
    assert report.findings[0].id == "a.b"
    assert report.findings[0].sources == ("https://x",)
    assert report.worst is Severity.WARNING


def test_a_missing_fact_is_neither_fine_nor_a_finding():
    def ask(ctx):
        raise NotReportedError("it is not told")
        yield

    report = run_checks([made("a.b", ask), made("a.c", finds(), needs=("gpus",))], CheckContext())
    assert [outcome.outcome for outcome in report.checks] == [Outcome.NOT_APPLICABLE] * 2
    assert report.checks[0].reason == "it is not told"
    assert report.worst is None


def test_a_cause_comes_first_even_where_its_consequence_is_worse():
    report = run_checks(
        [
            made("z.cause", finds(warning("machine", "cause"))),
            made("a.result", finds(error("machine", "result")), after=("z.cause",)),
            made("m.other", finds(error("machine", "other"))),
        ],
        CheckContext(),
    )
    assert [finding.id for finding in report.findings] == ["m.other", "z.cause", "a.result"]
    assert report.findings[2].caused_by == ("z.cause",)


def test_what_has_two_causes_comes_after_both():
    report = run_checks(
        [
            made("a.first", finds(error("machine", "one"))),
            made("c.second", finds(warning("machine", "two"))),
            made("b.result", finds(error("machine", "result")), after=("a.first", "c.second")),
        ],
        CheckContext(),
    )
    assert [finding.id for finding in report.findings] == ["a.first", "c.second", "b.result"]
    assert report.findings[2].caused_by == ("a.first", "c.second")


def test_one_gpus_fault_does_not_explain_anothers():
    report = run_checks(
        [
            made("a.heat", finds(warning("GPU 1", "hot"))),
            made(
                "b.slow",
                finds(warning("GPU 1", "slow"), warning("GPU 2", "slow")),
                after=("a.heat",),
            ),
        ],
        CheckContext(),
    )
    causes = {
        finding.subject: finding.caused_by for finding in report.findings if finding.id == "b.slow"
    }
    assert causes == {"GPU 1": ("a.heat",), "GPU 2": ()}


def test_a_wrong_list_that_leaves_a_gpu_is_no_cause_of_having_none():
    broken = healthy(
        environ={"CUDA_VISIBLE_DEVICES": "0;1"},
        probe=replace(
            probe(torch=torch()), cuda=replace(probe().cuda, available=False, device_count=0)
        ),
    )
    found = {one.id: one for one in run_checks(registered(), broken).findings}
    assert "visible.foreign-syntax" in found
    assert "visible.foreign-syntax" not in found["torch.unavailable"].caused_by


def test_a_chain_of_causes_is_told_from_its_root():
    broken = healthy(
        environ={"CUDA_VISIBLE_DEVICES": "all"},
        probe=replace(
            probe(torch=torch()),
            cuda=replace(probe().cuda, available=False, device_count=0),
            driver=replace(probe().driver, code=100, devices=()),
        ),
    )
    report = run_checks(registered(), broken)
    ids = [finding.id for finding in report.findings]
    assert ids == ["visible.foreign-syntax", "visible.hides-all", "cuda.init", "torch.unavailable"]
    assert report.findings[1].caused_by == ("visible.foreign-syntax",)


def test_all_checks_on_eight_gpus_take_less_than_a_second():
    begun = time.monotonic()
    report = run_checks(registered(), gpus(*(gpu(index) for index in range(8))))
    assert time.monotonic() - begun < 1
    assert not report.ended(Outcome.CRASHED)
    assert not report.ended(Outcome.TIMED_OUT)
