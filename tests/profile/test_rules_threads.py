"""torch's number of threads against the CPUs at hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.finding import Severity
from gpudoctor.model.operators import DeviceTime, OperatorTime
from gpudoctor.model.profile import LoaderTime, TorchFacts
from gpudoctor.profile.rules.registry import findings
from tests.profile.build import RUN, WINDOW, line, profile

LONG = (OperatorTime("aten::mm", 40, 0.32, None), OperatorTime("aten::t", 4000, 0.01, None))
SHORT = (OperatorTime("aten::mm", 4000, 0.32, None),)


def seen(threads, cpus=8, cores=8, operators=LONG, **changes):
    run = replace(RUN, cpus=cpus, cpu_cores=cores, **changes.pop("run", {}))
    window = replace(WINDOW, operators=operators, device=changes.pop("device", None))
    return findings(
        profile(run=run, window=window, torch=TorchFacts("2.13.0", threads=threads), **changes)
    )


def test_one_thread_for_long_operators_on_many_cores_is_found():
    (finding,) = seen(1)
    assert finding.id == "cpu.threads"
    assert "1 of 8 CPU cores" in finding.summary
    assert finding.gain_seconds == pytest.approx(0.8 * 10.1 * 7 / 8)
    assert "torch.set_num_threads(8), or OMP_NUM_THREADS=8" in finding.fix.text


@pytest.mark.parametrize("threads", [5, 8])
def test_a_thread_for_more_than_half_of_the_cores_is_enough(threads):
    assert seen(threads) == ()


def test_two_hardware_threads_of_a_core_are_not_two_cores():
    assert seen(8, cpus=16, cores=8) == ()


def test_short_operators_do_not_ask_for_more_threads():
    assert seen(1, operators=SHORT) == ()


def test_on_a_gpu_the_threads_do_not_matter():
    assert seen(1, device=DeviceTime(0.1, 300, 0.1, 10, 0.01, 0.0, 0.0)) == ()


def test_ranks_of_one_job_share_the_cores():
    assert seen(1, run={"local_ranks": 4, "omp_num_threads": "1"})[0].evidence[1:] == (
        "OMP_NUM_THREADS=1",
    )
    assert seen(1, run={"local_ranks": 8}) == ()


def test_workers_keep_their_cores():
    assert seen(1, loaders=(LoaderTime(0.0, 100, 7),)) == ()


def test_on_a_crowded_machine_more_threads_promise_nothing():
    (finding,) = seen(1, run={"cpu_wait_seconds": 6.0})
    assert (finding.severity, finding.gain_seconds) == (Severity.INFO, None)
    assert "6.00 s no core was free" in finding.evidence[-1]
    assert finding.fix.text.startswith("With less other work on the machine")


def test_more_threads_than_cpus_are_found():
    (finding,) = seen(16, cpus=2, cores=2, operators=SHORT)
    assert "16 threads" in finding.summary
    assert "2 CPUs" in finding.summary
    assert finding.gain_seconds == pytest.approx(0.8 * 10.1 * 14 / 16)


def test_a_control_group_that_gives_less_than_the_machine_has_is_named():
    (finding,) = seen(64, cpus=64, cores=64, run={"cpu_quota": 2.5})
    assert finding.evidence[1] == "its control group gives it 2.5 CPUs of 64"
    assert "set_num_threads(2)" in finding.fix.text
    assert seen(3, cpus=64, cores=64, run={"cpu_quota": 2.5}) == ()


def test_workers_and_threads_that_crowd_each_other_are_found_where_the_main_thread_waits():
    loaders = (LoaderTime(0.0, 100, 6),)
    (finding,) = seen(4, loaders=loaders, run={"cpu_wait_seconds": 3.0})
    assert "4 threads of torch's and 6 workers share 8 CPUs" in finding.summary
    assert "set_num_threads(2)" in finding.fix.text
    assert seen(4, loaders=loaders, run={"cpu_wait_seconds": 0.5}) == ()


def test_where_others_have_the_cpus_the_scripts_own_threads_are_not_blamed():
    loaders = (LoaderTime(0.0, 100, 6),)
    busy = {"cpu_wait_seconds": 9.0}
    assert seen(4, loaders=loaders, run={**busy, "cpu_seconds": 60.0}) != ()
    assert seen(4, loaders=loaders, run={**busy, "cpu_seconds": 40.0}) == ()


def test_what_is_not_known_is_not_judged():
    assert seen(1, cpus=None, cores=None) == ()
    assert seen(None) == ()


@pytest.mark.parametrize(
    "code", ["torch.set_num_threads(1)", "os.environ['OMP_NUM_THREADS'] = '1'"]
)
def test_the_line_that_sets_the_threads_is_named(tmp_path, code):
    (tmp_path / "main.py").write_text(f"import torch\n{code}\n")
    (finding,) = seen(1, run={"cwd": str(tmp_path)})
    assert finding.source_line == f"{tmp_path}/main.py:2"


def test_a_helper_that_sets_the_threads_is_found_where_it_was_seen_at_work(tmp_path):
    (tmp_path / "main.py").write_text("import helper\n")
    helper = tmp_path / "helper.py"
    helper.write_text("\n\nset_num_threads(1)\n")
    at_work = replace(line(), source_line=f"{helper}:9")
    (finding,) = seen(1, run={"cwd": str(tmp_path)}, lines=(at_work,))
    assert finding.source_line == f"{helper}:3"
