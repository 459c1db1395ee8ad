"""What DataLoader workers say of themselves, and that they load as ever."""

from __future__ import annotations

import json
import pickle
import queue
import sys
import time

import pytest

from gpudoctor.profile.workers import read_workers, worker_times
from gpudoctor.runner.workers import Worker, WorkerEntry, work
from tests.runner.harness import plain, session, watched

SCRIPT = """\
import os, sys, time, torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
torch.set_num_threads(1)
class Data(Dataset):
    def __len__(self): return 24
    def __getitem__(self, i):
        time.sleep(0.02)  # slow
        if "die" in sys.argv and i == 23: os._exit(3)
        return torch.full((2,), float(i)) + torch.rand(1)
if __name__ == "__main__":
    torch.manual_seed(1)
    total = 0.0
    for _ in range(2):
        for x in DataLoader(Data(), batch_size=2, num_workers=2, multiprocessing_context=sys.argv[1]):
            total += x.sum().item()
    print(repr(total))
"""


def torch_like_loop(index_queue, data_queue, collate_fn, worker_id):
    while (asked := index_queue.get(timeout=5)) is not None:
        if type(asked) is tuple:
            time.sleep(0.05)
            data_queue.put((asked[0], collate_fn([asked[1]])))


def run(folder, asked, loop=torch_like_loop):
    indices, batches = queue.Queue(), queue.Queue()
    for one in asked:
        indices.put(one)
    worker = Worker(str(folder), 3, 0.005)
    work(loop, worker, (indices, batches, lambda rows: rows[0] * 2, 1), {})
    (path,) = folder.glob("worker-*.json")
    return json.loads(path.read_text()), [batches.get() for _ in range(batches.qsize())]


def test_time_in_batches_is_told_from_waiting(tmp_path):
    seen, batches = run(tmp_path, [(0, 5), (1, 6), None])
    assert batches == [(0, 10), (1, 12)]
    assert (seen["loader"], seen["worker"], seen["batches"], seen["ended"]) == (3, 1, 2, True)
    assert 0.1 <= seen["busy_seconds"] < 0.2
    assert seen["wait_seconds"] < 0.03
    assert seen["cpu_seconds"] < 0.05
    assert sum(weight for weight, _, _ in seen["samples"]["stacks"]) == pytest.approx(0.1, abs=0.06)


def test_waiting_between_epochs_and_for_the_end_is_not_counted(tmp_path):
    indices, batches = queue.Queue(), queue.Queue()
    plain_get = indices.get

    def late(**kwargs):
        time.sleep(0.06)
        return plain_get(**kwargs)

    indices.get = late
    for one in ((0, 1), "resume", (0, 2), None):
        indices.put(one)
    worker = Worker(str(tmp_path), 0, None)
    work(torch_like_loop, worker, (indices, batches, lambda rows: rows, 0), {})
    assert worker.facts["batches"] == 2
    assert 0.12 <= worker.facts["wait_seconds"] < 0.17


def test_a_loop_that_is_not_torchs_runs_as_it_is(tmp_path):
    worker = Worker(str(tmp_path), 0, 0.01)
    assert work(lambda *args: args, worker, (1, 2), {}) == (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_costs_the_worker_nothing(tmp_path):
    indices, batches = queue.Queue(), queue.Queue()
    indices.put((0, 1))
    indices.put(None)
    worker = Worker(str(tmp_path / "gone"), 0, 0.01)
    work(torch_like_loop, worker, (indices, batches, sum, 0), {})
    assert batches.get() == (0, 1)


def test_too_many_workers_are_no_longer_watched(tmp_path):
    entry = WorkerEntry(str(tmp_path), None)
    assert entry.around(0, lambda: entry.use) == 0
    entry.count(600)
    assert entry.around(0, lambda: entry.use) is None


def test_without_our_file_a_spawned_worker_gets_torchs_own_loop(monkeypatch, tmp_path):
    worker = pytest.importorskip("torch.utils.data._utils.worker")
    monkeypatch.setattr("gpudoctor.runner.workers._SPAWNED", str(tmp_path / "gone.py"))
    assert pickle.loads(pickle.dumps(WorkerEntry("x", None, 0))) is worker._worker_loop


@pytest.mark.integration
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_both_kinds_are_seen_and_load_the_same(method, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    done = watched(sys.executable, tmp_path, "script", str(script), method)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == plain(sys.executable, str(script), method).stdout
    seen = [json.loads(path.read_text()) for path in tmp_path.glob("worker-*.json")]
    assert len(seen) == 4 and {one["worker"] for one in seen} == {0, 1}
    assert all(one["batches"] == 6 and one["ended"] for one in seen)
    # How much of either it is depends on who else wants the CPUs.
    assert all(one["busy_seconds"] > 0 and one["wait_seconds"] >= 0 for one in seen)
    for one in worker_times(read_workers(tmp_path), 0):
        assert (one.processes, one.batches) == (2, 12)
        assert one.line is not None and one.line.source_line == f"{script}:7"
        assert 0.8 < one.line.total_seconds / one.busy_seconds < 1.2


@pytest.mark.integration
def test_a_worker_that_dies_leaves_what_it_had_done(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    done = watched(sys.executable, tmp_path, "script", str(script), "fork", "die")
    assert done.returncode == 1
    seen = [json.loads(path.read_text()) for path in tmp_path.glob("worker-*.json")]
    (died,) = (one for one in seen if one["worker"] == 1)
    assert (died["batches"], died["ended"]) == (5, False)
    assert session(tmp_path)["ended"]["how"] == "exception"
