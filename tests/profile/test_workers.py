"""What the workers wrote, added up, and what the loader's rule makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gpudoctor.model.finding import Severity
from gpudoctor.model.profile import LoaderTime, WorkerTime
from gpudoctor.profile.rules.registry import findings
from gpudoctor.profile.summary import load_profile
from gpudoctor.profile.workers import read_workers
from gpudoctor.render.loader_workers import in_words
from tests.profile.build import RUN, line, profile, session

LOADER = LoaderTime(
    wait_seconds=5.0, batches=100, num_workers=2, source_line="/home/me/main.py:9", epochs=1
)
WORKER = WorkerTime(
    worker=0,
    pid=5,
    processes=1,
    batches=50,
    busy_seconds=9.8,
    wait_seconds=0.2,
    collate_seconds=0.1,
    cpu_seconds=9.0,
    cpu_wait_seconds=0.1,
    ended=True,
    line=line(31, 6.0, "data", "image = decode(raw)"),
)


def starved(*workers: WorkerTime, **changes):
    loader = replace(LOADER, workers=workers, **changes)
    run = replace(RUN, cpus=8, cpu_seconds=2.0, main_cpu_seconds=2.0)
    (finding,) = (
        one for one in findings(profile(loaders=(loader,), run=run)) if one.id == "loader.starved"
    )
    assert finding.fix is not None
    return finding, finding.fix.text


def written(folder, pid, **changes):
    body = {
        "format": 1,
        "pid": pid,
        "loader": 0,
        "worker": 0,
        "batches": 4,
        "busy_seconds": 2.0,
        "wait_seconds": 1.0,
        "collate_seconds": 0.5,
        "cpu_seconds": 1.0,
        "cpu_wait_seconds": None,
        "ended": True,
        "samples": None,
    }
    (folder / f"worker-{pid}.json").write_text(json.dumps(body | changes))


def test_the_processes_of_all_epochs_are_one_worker(tmp_path):
    seen = {"batches": 8, "epochs": 2, "wait_seconds": 1.0, "first_wait_seconds": 0.1}
    folder = session(tmp_path / "s", loaders=[{**seen, "start_seconds": 0.1, "num_workers": 2}])
    functions = [
        ["main", "/home/me/a.py", 1, True],
        ["fetch", "/x/torch/utils/data/_utils/fetch.py", 1, False],
        ["open", "/x/PIL/Image.py", 1, False],
        ["load", "/x/torchvision/folder.py", 1, False],
    ]
    stacks = [[1.5, False, [[2, 8], [3, 44], [1, 54]]], [0.2, False, [[0, 3], [1, 54]]]]
    stacks.append([9.0, False, [[2, 1]]])
    samples = {"interval_seconds": 0.01, "samples": 3, "functions": functions, "stacks": stacks}
    written(folder, 11, samples=samples)
    written(folder, 12, cpu_wait_seconds=0.5, ended=False)
    written(folder, 13, worker=1)
    written(folder, 14, loader=7)
    (loader,) = load_profile(folder).loaders
    first, second = loader.workers
    assert (first.worker, first.processes, first.batches, first.ended) == (0, 2, 8, False)
    assert (first.busy_seconds, first.wait_seconds, first.cpu_wait_seconds) == (4.0, 2.0, 0.5)
    assert (second.worker, second.processes, second.line) == (1, 1, None)
    assert first.line is not None
    assert (first.line.source_line, first.line.total_seconds) == (
        "/x/torchvision/folder.py:44",
        1.5,
    )


@pytest.mark.parametrize("body", ["", "[]", '{"format": 1}', "\0", '{"pid": "x"}'])
def test_a_file_that_is_none_of_a_workers_is_left_out(body, tmp_path):
    (tmp_path / "worker-3.json").write_text(body)
    (tmp_path / "worker-4.json").mkdir()
    (tmp_path / "worker-5.json").symlink_to("/dev/zero")
    with (tmp_path / "worker-6.json").open("wb") as file:
        file.truncate(10**9)
    written(tmp_path, 7)
    assert [one.pid for one in read_workers(tmp_path)] == [7]


def test_busy_workers_are_named_with_their_slowest_line():
    finding, advice = starved(WORKER, replace(WORKER, worker=1))
    assert finding.source_line == "/home/me/main.py:31"
    assert "2 workers each busy 98% of the time" in finding.evidence
    assert "61% of that in this line, `image = decode(raw)`" in finding.evidence
    assert "more num_workers help only while there are idle CPU cores" in advice


def test_workers_that_sleep_in_a_sample_call_for_more_of_them():
    idle = replace(WORKER, cpu_seconds=0.4)
    finding, advice = starved(idle, idle)
    assert "even without more CPU cores" in advice
    assert finding.gain_seconds == 5.0


def test_workers_without_a_free_cpu_do_not_call_for_more():
    crowded = replace(WORKER, cpu_seconds=6.0, cpu_wait_seconds=3.5)
    assert "more num_workers do not help" in starved(crowded, crowded)[1]


def test_idle_workers_leave_the_way_to_the_main_process():
    lazy = replace(WORKER, busy_seconds=1.0, wait_seconds=9.0)
    finding, advice = starved(lazy, lazy)
    assert finding.source_line == LOADER.source_line
    assert "way to the main process" in advice


def test_idle_workers_on_a_crowded_machine_are_nobodys_fault():
    lazy = replace(WORKER, busy_seconds=1.0, wait_seconds=9.0)
    (finding,) = findings(
        profile(
            loaders=(replace(LOADER, num_workers=2, workers=(lazy, lazy)),),
            run=replace(RUN, cpu_wait_seconds=6.0),
        )
    )
    assert (finding.severity, finding.gain_seconds) == (Severity.INFO, None)
    assert "measure again" in finding.fix.text


def test_one_busy_worker_beside_idle_ones_is_told():
    lazy = replace(WORKER, worker=1, busy_seconds=1.0, wait_seconds=9.0)
    finding, advice = starved(WORKER, lazy)
    assert "in order" in advice
    assert "2 workers busy 10% to 98% of the time" in finding.evidence


def test_the_first_batches_of_each_epoch_call_for_workers_that_stay():
    lazy = replace(WORKER, busy_seconds=6.0, wait_seconds=4.0)
    advice = starved(lazy, epochs=5, first_wait_seconds=3.0)[1]
    assert "persistent_workers=True" in advice


def test_a_costly_collate_function_is_told():
    finding, _ = starved(replace(WORKER, collate_seconds=4.9))
    assert "50% of it in collate_fn, 4.90 s" in finding.evidence


def test_words_for_workers():
    lazy = replace(WORKER, busy_seconds=1.0, wait_seconds=9.0)
    assert in_words((WORKER,)) == "busy 98% of the time, they are the limit"
    assert in_words((lazy, lazy)) == "busy 10% of the time, they wait for work"
    assert in_words((WORKER, lazy)) == "busy 10% to 98% of the time"
    assert in_words((replace(WORKER, busy_seconds=0.0, wait_seconds=0.0),)) == "no batch was made"
