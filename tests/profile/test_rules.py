from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.finding import Severity
from gpudoctor.model.operators import DeviceTime
from gpudoctor.model.profile import (
    Growth,
    LoaderTime,
    MemoryPoint,
    OptimizerTime,
    PhaseTime,
    TorchDevice,
    TorchFacts,
)
from gpudoctor.profile.rules.growth import assignment
from gpudoctor.profile.rules.registry import findings, rules
from tests.profile.build import RUN, STEPS, WINDOW, line, profile

LOADER = LoaderTime(4.0, 100, 0, source_line="/home/me/main.py:3", epochs=2)
ADAM = OptimizerTime("Adam", "a.py:1", "a.py:9", 100, 3.0, 60, "cpu", None, None)
IDLE = DeviceTime(0.1, 300, 0.1, 10, 0.01, 0.0, 0.0)
BUSY = replace(IDLE, busy_seconds=0.38)
SMALL = replace(WINDOW, operator_calls=4000, operator_seconds=0.07, python_seconds=0.1)
PYTHON = replace(WINDOW, operator_calls=40, operator_seconds=0.1, python_seconds=0.25)


def ids(seen):
    return [finding.id for finding in findings(seen)]


def test_a_healthy_profile_gives_nothing():
    assert ids(profile(loaders=(replace(LOADER, wait_seconds=0.2),), lines=(line(),))) == []


def test_every_rule_has_a_name_and_says_what_it_looks_for():
    assert len(rules()) >= 8
    assert all(function.__doc__ for function in rules().values())


def test_a_starved_step_names_the_line_of_the_dataset():
    inside = line(42, 3.5, "data", "image = decode(path)")
    (finding,) = findings(profile(loaders=(LOADER,), lines=(inside, line(3, 0.2, "data"))))
    assert (finding.id, finding.gain_seconds) == ("loader.starved", 4.0)
    assert finding.source_line == "/home/me/main.py:42"
    assert "num_workers=2" in finding.fix.text
    assert finding.fix.text.startswith("Make this line cheaper first")


def on_cpus(cpus, others, quota=None):
    run = replace(RUN, cpus=cpus, cpu_quota=quota, main_cpu_seconds=10.1, cpu_seconds=10.1 + others)
    (finding,) = findings(profile(loaders=(LOADER,), run=run))
    return finding


def test_workers_gain_no_more_than_the_cpus_at_hand_allow():
    assert on_cpus(16, others=0.0).gain_seconds == 4.0
    assert on_cpus(2, others=6.0).gain_seconds == pytest.approx(10.1 - 16.1 / 2)
    assert on_cpus(2, others=10.1).gain_seconds is None
    assert "2 CPUs" in on_cpus(2, others=6.0).fix.text


def test_workers_gain_no_more_than_the_control_group_allows():
    assert on_cpus(64, others=6.0, quota=2.5).gain_seconds == pytest.approx(10.1 - 16.1 / 2)
    assert "2 CPUs" in on_cpus(64, others=6.0, quota=2.5).fix.text
    assert "num_workers" not in on_cpus(64, others=0.0, quota=0.5).fix.text


def test_on_one_cpu_workers_are_not_advised():
    finding = on_cpus(1, others=0.0)
    assert finding.gain_seconds is None
    assert "num_workers" not in finding.fix.text


def test_batches_that_are_cheaper_than_their_way_from_a_worker_stay_where_they_are():
    quick = replace(LOADER, batches=8_000)
    (finding,) = findings(profile(loaders=(quick,), run=replace(RUN, cpus=8)))
    assert "num_workers" not in finding.fix.text
    assert finding.fix.text.startswith("A batch takes 500 µs")
    assert finding.gain_seconds == 4.0


def test_workers_are_not_advised_where_the_script_uses_all_of_its_cpus():
    assert "num_workers" in on_cpus(8, others=6.0).fix.text
    full = on_cpus(2, others=10.1).fix.text
    assert "num_workers" not in full
    assert "already uses its CPUs (the script may use 2 CPUs)" in full


def test_with_workers_a_starved_step_names_the_loop():
    (finding,) = findings(
        profile(loaders=(replace(LOADER, num_workers=4),), lines=(line(42, 3.5, "data"),))
    )
    assert finding.source_line == "/home/me/main.py:3"
    assert "cheaper" in finding.fix.text


def test_a_wait_is_no_loss_while_the_gpu_is_busy():
    assert ids(profile(loaders=(LOADER,), window=replace(WINDOW, device=BUSY))) == []


def test_workers_started_anew_each_epoch_are_found():
    loader = replace(
        LOADER,
        num_workers=4,
        epochs=10,
        wait_seconds=2.2,
        first_wait_seconds=2.0,
        start_seconds=1.0,
    )
    found = {one.id: one for one in findings(profile(loaders=(loader,)))}
    assert found["loader.restarts"].gain_seconds == pytest.approx(2.7)
    kept = replace(loader, persistent_workers=True)
    assert "loader.restarts" not in ids(profile(loaders=(kept,)))


def test_python_in_the_step_is_found_with_the_line_that_is_not_torch():
    lines = (line(5, 9.0, torch_seconds=8.9, text="y = model(x)"), line(8, 4.0, text="augment(x)"))
    (finding,) = findings(profile(window=PYTHON, lines=lines))
    assert (finding.id, finding.source_line) == ("python.main-thread", "/home/me/main.py:8")
    assert finding.gain_seconds == pytest.approx(4.1)
    steadier = (line(8, 40.0, text="augment(x)"),)
    (finding,) = findings(profile(window=PYTHON, lines=steadier))
    assert finding.gain_seconds == pytest.approx(0.6235 * 10.1)


def test_python_that_a_few_samples_saw_is_not_worth_a_word():
    assert ids(profile(window=PYTHON, lines=(line(8, 0.049),))) == []
    assert ids(profile(window=PYTHON, lines=(line(8, 0.051),))) == ["python.main-thread"]
    short = replace(STEPS, span_seconds=0.06, median_seconds=0.01)
    assert ids(profile(window=PYTHON, steps=short, lines=(line(8, 4.0),))) == []


def test_a_line_that_waits_is_not_told_to_compute_less():
    sleeping = line(8, 4.0, text="time.sleep(0.1)", waiting_seconds=3.9)
    (finding,) = findings(profile(window=PYTHON, lines=(sleeping,)))
    assert "wait" in finding.summary
    assert "NumPy" not in finding.fix.text
    (finding,) = findings(profile(window=PYTHON, lines=(replace(sleeping, waiting_seconds=1.0),)))
    assert "wait" not in finding.summary
    assert "NumPy" in finding.fix.text


def test_tiny_operators_are_found_and_not_taken_for_python():
    (finding,) = findings(profile(window=SMALL, lines=(line(),)))
    assert finding.id == "operators.small"
    assert "1,000 tiny operators a step" in finding.summary


def test_a_few_long_operators_do_not_make_the_many_beside_them_dear():
    mixed = replace(
        SMALL, operator_seconds=0.25, long_operator_calls=28, long_operator_seconds=0.18
    )
    (finding,) = findings(profile(window=mixed, lines=(line(),)))
    assert finding.id == "operators.small"
    # 3,972 calls: 70 ms of work, and 15 µs of Python for each.
    assert finding.gain_seconds == pytest.approx((0.07 + 3_972 * 15e-6) / 0.4 * 10.1)
    alone = replace(mixed, operator_calls=128, python_seconds=0.001)
    assert findings(profile(window=alone)) == ()


RECURRENT = replace(
    WINDOW,
    operator_calls=100,
    operator_seconds=0.1,
    backward_operator_calls=10_000,
    phases=(PhaseTime("operators", 0.1), PhaseTime("backward", 0.19)),
)


def test_tiny_operators_of_the_backward_are_found_where_the_forward_has_bigger_ones():
    (finding,) = findings(profile(window=RECURRENT, lines=(line(),)))
    assert finding.id == "operators.small"
    assert finding.evidence[0] == "19 µs each on average"
    bigger = replace(RECURRENT, backward_operator_calls=5_000)
    assert "operators.small" not in ids(profile(window=bigger))


def test_operators_that_only_a_busy_machine_makes_long_are_tiny_all_the_same():
    run = replace(RUN, cpu_wait_seconds=RUN.wall_seconds / 2)
    bigger = replace(RECURRENT, backward_operator_calls=5_000)
    assert "operators.small" in ids(profile(window=bigger, run=run))


def test_big_kernels_are_no_tiny_operators():
    device = replace(IDLE, kernels=100, kernel_seconds=0.2)
    assert "operators.small" not in ids(profile(window=replace(SMALL, device=device)))


@pytest.mark.parametrize(
    "good",
    [
        replace(ADAM, fused=True),
        replace(ADAM, foreach=True),
        replace(ADAM, tensors=4),
        replace(ADAM, seconds=0.5),
    ],
)
def test_an_optimizer_that_is_fused_or_cheap_is_left_alone(good):
    assert ids(profile(optimizers=(good,))) == []


@pytest.mark.parametrize(
    "bad", [ADAM, replace(ADAM, device="cuda", foreach=False), replace(ADAM, built_in=False)]
)
def test_an_optimizer_that_goes_one_by_one_is_found(bad):
    (finding,) = findings(profile(optimizers=(bad,)))
    assert (finding.id, finding.source_line) == ("optimizer.for-loop", "a.py:1")


ON_GPU = replace(ADAM, device="cuda")


def test_an_optimizer_on_a_gpu_that_could_be_fused_is_hinted_at():
    (finding,) = findings(profile(optimizers=(ON_GPU,)))
    assert (finding.id, finding.severity) == ("optimizer.not-fused", Severity.INFO)
    assert "Adam(…, fused=True)" in finding.fix.text


@pytest.mark.parametrize(
    "good",
    [
        replace(ON_GPU, fused=True),
        replace(ON_GPU, seconds=0.5),
        replace(ON_GPU, name="RMSprop"),
        replace(ON_GPU, built_in=False, foreach=True),
    ],
)
def test_an_optimizer_on_a_gpu_that_is_fused_cheap_or_has_no_such_version_is_left_alone(good):
    assert ids(profile(optimizers=(good,))) == []


def test_while_the_gpu_is_busy_launches_cost_nothing():
    assert ids(profile(optimizers=(ON_GPU,), window=replace(WINDOW, device=BUSY))) == []


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        (((2, 10), (4, 20), (8, 40), (16, 80)), True),
        (((1, 20_000), (2, 35_000), (4, 49_990), (8, 50_000)), False),
        (((1, 6_000), (2, 12_000), (4, 24_000), (8, 50_000), (16, 50_000)), True),
        (((2, 10), (4, 10), (8, 10), (16, 10)), False),
        (((2, 10), (4, 20), (8, 10), (16, 20)), False),
        (((1, 10), (2, 20), (4, 40)), False),
    ],
)
def test_only_a_graph_that_grows_with_the_steps_is_a_kept_graph(sizes, found):
    seen = findings(profile(growth=(Growth("main: total", "/none.py:1", sizes),)))
    assert [one.id for one in seen] == (["memory.graph-kept"] if found else [])
    assert all(one.severity is Severity.ERROR for one in seen)


def test_every_variable_that_keeps_graphs_is_named():
    def growing(name, factor):
        return Growth(name, "/home/me/none.py:1", tuple((n, factor * n) for n in (2, 4, 8, 16)))

    seen = profile(growth=(growing("main: total", 10), growing("main: outputs", 5)))
    (finding,) = findings(seen)
    assert "`total`" in finding.summary
    assert finding.evidence[-1] == "so does `outputs` (none.py:1)"


SIZES = ((1, 10), (2, 20), (4, 40), (8, 80), (16, 160))


def kept(steps, memory):
    growth = Growth("main: total", "/none.py:1", SIZES)
    (finding,) = findings(profile(growth=(growth,), steps=steps, memory=tuple(memory)))
    return finding


def test_a_kept_graph_is_told_in_nodes_and_promises_no_seconds():
    finding = kept(replace(STEPS, series=(0.1,) * 20 + (0.2,) * 80), ())
    assert finding.gain_seconds is None
    assert "about 10 more nodes with every step" in finding.evidence


def test_host_memory_per_step_is_told_only_where_it_grows_at_an_even_pace():
    even = [MemoryPoint(second / 4, second * 1024 * 250) for second in range(48)]
    assert "host memory grows by 100.0 KiB per step" in kept(STEPS, even).evidence
    jumps = [MemoryPoint(second / 4, second**4) for second in range(48)]
    assert not any("memory" in words for words in kept(STEPS, jumps).evidence)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("total", "total += loss"),
        ("total", "total = total + loss"),
        ("losses", "losses.append(loss)"),
        ("self.total", "self.total += loss"),
        ("log['loss']", 'log["loss"] += loss'),
    ],
)
def test_the_line_that_adds_to_a_variable_is_named(name, statement, tmp_path):
    source = f"total = 0\ntotal += 1\ndef main(self, loss, log):\n    loss = 2\n    {statement}\n"
    (tmp_path / "a.py").write_text(source)
    growth = Growth(f"main: {name}", f"{tmp_path}/a.py:3", ())
    assert assignment(growth) == f"{tmp_path}/a.py:5"


def test_a_wait_for_the_gpu_names_the_line_that_waits():
    device = replace(IDLE, sync_seconds=0.2)
    seen = profile(
        window=replace(WINDOW, device=device),
        lines=(line(4, 5.0, text="y = model(x)"), line(9, 2.0, text="total += loss.item()")),
    )
    (finding,) = findings(seen)
    assert (finding.id, finding.source_line) == ("sync.blocking", "/home/me/main.py:9")


def test_a_wait_for_a_busy_gpu_is_no_finding():
    device = replace(BUSY, sync_seconds=0.3)
    assert ids(profile(window=replace(WINDOW, device=device))) == []


def test_pageable_copies_are_found():
    device = replace(IDLE, pageable_copy_seconds=0.1)
    assert ids(profile(window=replace(WINDOW, device=device))) == ["copies.pageable"]


def test_nearly_full_gpu_memory_is_found():
    gpu = TorchDevice(0, "H200", memory_total_bytes=100, memory_peak_bytes=95, allocator_retries=0)
    assert ids(profile(torch=TorchFacts("2.13", devices=(gpu,)))) == ["memory.nearly-full"]
    roomy = replace(gpu, memory_peak_bytes=50)
    assert ids(profile(torch=TorchFacts("2.13", devices=(roomy,)))) == []


def test_errors_come_first_and_then_what_costs_most():
    growth = Growth("main: total", "/none.py:1", ((2, 10), (4, 20), (8, 40), (16, 80)))
    seen = profile(loaders=(LOADER,), optimizers=(ADAM,), growth=(growth,))
    assert ids(seen) == ["memory.graph-kept", "loader.starved", "optimizer.for-loop"]


def test_without_steps_nothing_is_claimed():
    assert ids(profile(steps=None, loaders=(LOADER,), optimizers=(ADAM,), window=None)) == []
    assert STEPS.count == 100
